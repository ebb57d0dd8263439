"""The log-mel of arrays, in numpy: what synthesis, `hifigan mel` and light tools compute.

The convention is that of `mel`, which computes the same in torch with gradients for training; a
test holds the two within one rounding of float32. Models of other tools have conventions of their
own (`MelConvention`); only here are these known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.config import MelConfig

# Frames transformed at once: in double precision a few megabytes, which a cache holds.
_PIECE_FRAMES = 128
_BLOCK_FRAMES = 4096

Samples = npt.NDArray[np.float32]
Mel = npt.NDArray[np.float32]


def log_mel(samples: Samples, config: MelConfig) -> Mel:
    """Return the log-mel `(channels, mels, frames)` of `(channels, samples)`, full scale 1.

    frames = floor(samples / hop), or as `MelConfig.frames` says.

    Raises:
        InputError: the clip is too short to be reflected at its ends.

    >>> from hifigan_cli.config import MelConfig
    >>> log_mel(np.zeros((1, 22_050), np.float32), MelConfig()).shape
    (1, 80, 86)
    """
    blocks = list(log_mel_blocks(samples, config))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)


def log_mel_blocks(
    samples: Samples, config: MelConfig, block_frames: int = _BLOCK_FRAMES
) -> Iterator[Mel]:
    """Yield the log-mel of `(channels, samples)` in pieces of frames, in flat memory.

    Raises:
        InputError: as `log_mel`.
    """
    padded = _padded(samples, config)
    frames, hop = config.frames(samples.shape[-1]), config.hop_samples
    for start in range(0, frames, block_frames):
        stop = min(start + block_frames, frames)
        mel = np.empty((len(samples), config.n_mels, stop - start), np.float32)
        for at in range(start, stop, _PIECE_FRAMES):
            end = min(at + _PIECE_FRAMES, stop)
            piece = padded[:, at * hop : (end - 1) * hop + config.n_fft]
            mel[..., at - start : end - start] = _of_padded(piece, config)
        yield mel


def _padded(samples: Samples, config: MelConfig) -> Samples:
    pad, mode = config.pad_samples, config.convention.pad_mode
    least = config.hop_samples
    if mode == "reflect":
        least = max(least, pad + 1)
    if samples.shape[-1] < least:
        raise InputError(
            f"{samples.shape[-1]} samples are too short for a mel; it takes at least {least}"
        )
    return np.pad(samples, ((0, 0), (pad, pad)), mode=mode)


def _of_padded(padded: Samples, config: MelConfig) -> npt.NDArray[np.float64]:
    """Return the log-mel of `(channels, samples)` that needs no more padding."""
    convention = config.convention
    window, bank = _constants(config)
    frames = sliding_window_view(padded, config.n_fft, axis=-1)[:, :: config.hop_samples]
    spectrum = np.fft.rfft(frames * window)
    size = spectrum.real**2 + spectrum.imag**2 + convention.magnitude_epsilon
    if convention.power == 1:
        np.sqrt(size, out=size)
    mel = bank @ size.transpose(0, 2, 1)
    if convention.guard == "clamp":
        mel = np.maximum(mel, convention.floor)
    else:
        mel = mel + convention.floor
    logarithm = np.log if convention.log == "ln" else np.log10
    mel = convention.gain * logarithm(mel) + convention.offset
    return np.clip(mel, *convention.clip) if convention.clip else mel


@lru_cache(maxsize=32)
def _constants(config: MelConfig) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the window, widened to `(n_fft,)` by zeros, and the filters `(mels, bins)`."""
    win = config.win_samples
    steps = win if config.convention.periodic_window else max(1, win - 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / steps)
    before = (config.n_fft - win) // 2
    return np.pad(window, (before, config.n_fft - win - before)), filterbank(config)
