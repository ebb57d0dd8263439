"""Room impulse responses of simulated shoebox rooms (the image method of Allen and Berkley, 1979).

The number of images grows with the cube of time, so only early ones are computed one by one. Later
the echoes lie so dense that they sound like noise with an exponential decay; it takes over
where the images end, at their level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hifigan_cli.enhancement.augmentation.effects import apply_gain

Wave = npt.NDArray[np.float64]

T60_S = (0.1, 1.2)
SPEED_OF_SOUND = 343.0  # m/s
_EARLY_S = 0.06  # rendered as images
_FADE_S = 0.02  # over which the diffuse tail takes over
_SMALLEST_M, _LARGEST_M = (2.2, 2.2, 2.2), (10.0, 8.0, 4.0)
_FROM_WALL_M = 0.4
_DISTANCE_M = (0.3, 4.0)  # from the speaker to the microphone
_JITTER_M = 0.08  # of image positions: walls are not perfect, and exact ones whistle
_LOWEST_HZ = 60.0  # images all of one sign add up below it


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


def draw_shoebox(draw: np.random.Generator, t60_s: float | None = None) -> Shoebox:
    """Draw a room, a speaker and a microphone in it."""
    size = draw.uniform(_SMALLEST_M, _LARGEST_M)
    t60_s = float(np.exp(draw.uniform(*np.log(T60_S)))) if t60_s is None else t60_s
    microphone = draw.uniform(_FROM_WALL_M, size - _FROM_WALL_M)
    direction = draw.normal(size=3)
    direction *= np.exp(draw.uniform(*np.log(_DISTANCE_M))) / np.linalg.norm(direction)
    source = np.clip(microphone + direction, _FROM_WALL_M / 2, size - _FROM_WALL_M / 2)
    return Shoebox(size, source, microphone, t60_s)


def rir(draw: np.random.Generator, room: Shoebox, sample_rate: int) -> Wave:
    """Render a room's impulse response `(samples,)`; `draw` is for jitter and the diffuse tail."""
    delays, gains = _images(draw, room)
    direct_s = float(delays[0])
    samples = int((direct_s + _EARLY_S + room.t60_s) * sample_rate)
    response = _placed(delays * sample_rate, gains, samples)
    response += _tail(draw, room, response, direct_s, sample_rate)
    # The high-pass must not ring around to the end, hence the zeros.
    padded = np.pad(response, (0, sample_rate // 8))
    return apply_gain(padded, sample_rate, lambda f: f**2 / (f**2 + _LOWEST_HZ**2))[:samples]


def _images(draw: np.random.Generator, room: Shoebox) -> tuple[Wave, Wave]:
    """Return delays in seconds and gains of all early images, the direct path first."""
    reach = np.linalg.norm(room.source - room.microphone) + SPEED_OF_SOUND * _EARLY_S
    orders = [np.arange(-n, n + 1.0) for n in np.ceil(reach / (2 * room.size))]
    offsets, bounces = [], []
    for axis, order in enumerate(orders):
        mirrored = 2 * order * room.size[axis]
        places = np.concatenate([mirrored + room.source[axis], mirrored - room.source[axis]])
        offsets.append(places - room.microphone[axis])
        bounces.append(np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)]))
    squares = [offset**2 for offset in offsets]
    distance = np.sqrt(_outer_sum(squares)).ravel()
    count = _outer_sum(bounces).ravel()
    near = np.flatnonzero(distance < reach)
    near = near[np.argsort(distance[near], kind="stable")]
    distance, count = distance[near], count[near]
    distance[1:] += draw.uniform(-_JITTER_M, _JITTER_M, len(distance) - 1) * (count[1:] > 0)
    distance = np.maximum(distance, distance[0])
    return distance / SPEED_OF_SOUND, room.reflection() ** count / distance


def _outer_sum(axes: list[Wave]) -> Wave:
    """Add one value of each of three axes in all combinations."""
    x, y, z = axes
    total: Wave = x[:, None, None] + y[:, None] + z
    return total


def _placed(places: Wave, gains: Wave, samples: int) -> Wave:
    """Put impulses at fractional sample places by linear interpolation."""
    whole = places.astype(np.int64)
    share = places - whole
    placed = np.zeros(samples + 2)
    placed += np.bincount(whole, gains * (1 - share), samples + 2)
    placed += np.bincount(whole + 1, gains * share, samples + 2)
    return placed[:samples]


def _tail(
    draw: np.random.Generator, room: Shoebox, early: Wave, direct_s: float, sample_rate: int
) -> Wave:
    """Return the diffuse tail: noise that starts at the level at which the images end."""
    start, fade = int((direct_s + _EARLY_S) * sample_rate), int(_FADE_S * sample_rate)
    time_s = (np.arange(len(early)) - start) / sample_rate
    decay = 10 ** (-3 * time_s / room.t60_s)
    last = slice(start - fade, start)
    level = np.sqrt(np.mean(early[last] ** 2) / np.mean(decay[last] ** 2))
    tail: Wave = draw.normal(size=len(early)) * decay * level
    tail[:start] = 0.0
    return tail
