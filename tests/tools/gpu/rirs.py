"""Simulate room impulse responses of shoebox rooms (the image method of Allen and Berkley, 1979).

The number of images grows with the cube of time, so only early images are computed. Later echoes
are so dense that they sound like noise with an exponential decay. This noise continues from the
last images, at their level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hifigan_cli.enhancement.augmentation.effects import apply_gain

Wave = npt.NDArray[np.float64]

T60_S = (0.1, 1.2)
SPEED_OF_SOUND = 343.0  # m/s
_EARLY_S = 0.06  # computed with images
_FADE_S = 0.02  # of the last images, which set the level of the tail
_MIN_SIZE_M, _MAX_SIZE_M = (2.2, 2.2, 2.2), (10.0, 8.0, 4.0)
_WALL_DISTANCE_M = 0.4
_DISTANCE_M = (0.3, 4.0)  # from the speaker to the microphone
_JITTER_M = 0.08  # of image positions: exact ones give audible tones
_HIGH_PASS_HZ = 60.0  # below it, images add up because all have the same sign


@dataclass(frozen=True)
class Shoebox:
    """A rectangular room.

    Attributes:
        size: length, width and height in meters.
        source, microphone: positions in meters.
        t60_s: seconds until reverberation has fallen by 60 dB.
    """

    size: Wave
    source: Wave
    microphone: Wave
    t60_s: float

    def reflection(self) -> float:
        """Return the walls' reflection factor for the reverberation time (Eyring's formula)."""
        length, width, height = self.size
        surface = 2 * (length * width + length * height + width * height)
        exponent = -12 * np.log(10) / SPEED_OF_SOUND * self.size.prod() / (surface * self.t60_s)
        return float(np.exp(exponent))  # the square root of 1 - absorption


def draw_shoebox(rng: np.random.Generator, t60_s: float | None = None) -> Shoebox:
    """Draw a room, a speaker and a microphone in it."""
    size = rng.uniform(_MIN_SIZE_M, _MAX_SIZE_M)
    t60_s = float(np.exp(rng.uniform(*np.log(T60_S)))) if t60_s is None else t60_s
    microphone = rng.uniform(_WALL_DISTANCE_M, size - _WALL_DISTANCE_M)
    direction = rng.normal(size=3)
    direction *= np.exp(rng.uniform(*np.log(_DISTANCE_M))) / np.linalg.norm(direction)
    source = np.clip(microphone + direction, _WALL_DISTANCE_M / 2, size - _WALL_DISTANCE_M / 2)
    return Shoebox(size, source, microphone, t60_s)


def rir(rng: np.random.Generator, room: Shoebox, sample_rate: int) -> Wave:
    """Render a room's impulse response `(samples,)`; `rng` is used for jitter and tail."""
    delays, gains = _images(rng, room)
    direct_s = float(delays[0])
    samples = int((direct_s + _EARLY_S + room.t60_s) * sample_rate)
    response = _render_impulses(delays * sample_rate, gains, samples)
    response += _tail(rng, room, response, direct_s, sample_rate)
    # The zeros keep the high-pass filter from wrapping around.
    padded = np.pad(response, (0, sample_rate // 8))
    return apply_gain(padded, sample_rate, lambda f: f**2 / (f**2 + _HIGH_PASS_HZ**2))[:samples]


def _images(rng: np.random.Generator, room: Shoebox) -> tuple[Wave, Wave]:
    """Return delays in seconds and gains of all early images, the direct path first."""
    max_distance = np.linalg.norm(room.source - room.microphone) + SPEED_OF_SOUND * _EARLY_S
    orders = [np.arange(-n, n + 1.0) for n in np.ceil(max_distance / (2 * room.size))]
    offsets, bounces = [], []
    for axis, order in enumerate(orders):
        mirrored = 2 * order * room.size[axis]
        positions = np.concatenate([mirrored + room.source[axis], mirrored - room.source[axis]])
        offsets.append(positions - room.microphone[axis])
        bounces.append(np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)]))
    squares = [offset**2 for offset in offsets]
    distance = np.sqrt(_outer_sum(squares)).ravel()
    count = _outer_sum(bounces).ravel()
    near = np.flatnonzero(distance < max_distance)
    near = near[np.argsort(distance[near], kind="stable")]
    distance, count = distance[near], count[near]
    distance[1:] += rng.uniform(-_JITTER_M, _JITTER_M, len(distance) - 1) * (count[1:] > 0)
    distance = np.maximum(distance, distance[0])
    return distance / SPEED_OF_SOUND, room.reflection() ** count / distance


def _outer_sum(axes: list[Wave]) -> Wave:
    """Return the sums of all combinations of one value per axis."""
    x, y, z = axes
    total: Wave = x[:, None, None] + y[:, None] + z
    return total


def _render_impulses(positions: Wave, gains: Wave, samples: int) -> Wave:
    """Render impulses at fractional sample positions, by linear interpolation."""
    before = positions.astype(np.int64)
    fraction = positions - before
    response = np.zeros(samples + 2)
    response += np.bincount(before, gains * (1 - fraction), samples + 2)
    response += np.bincount(before + 1, gains * fraction, samples + 2)
    return response[:samples]


def _tail(
    rng: np.random.Generator, room: Shoebox, early: Wave, direct_s: float, sample_rate: int
) -> Wave:
    """Return the diffuse tail: noise that starts at the level of the last images."""
    start, fade = int((direct_s + _EARLY_S) * sample_rate), int(_FADE_S * sample_rate)
    time_s = (np.arange(len(early)) - start) / sample_rate
    decay = 10 ** (-3 * time_s / room.t60_s)
    last = slice(start - fade, start)
    level = np.sqrt(np.mean(early[last] ** 2) / np.mean(decay[last] ** 2))
    tail: Wave = rng.normal(size=len(early)) * decay * level
    tail[:start] = 0.0
    return tail
