"""Compute the log-mel of arrays in numpy, for synthesis, `hifigan mel` and tools without torch.

`mel` computes the same in torch, with gradients for training; a test checks that the two differ by
at most one rounding of float32. Models of other tools have conventions of their own
(`MelConvention`), which only this module supports.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.audio.resampling import resample
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hifigan_cli.audio.reading import Audio
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import DoubleArray, FloatArray

# Frames transformed at once: in double precision a few megabytes, which fit the CPU cache.
_PIECE_FRAMES = 128
_BLOCK_FRAMES = 4096


def audio_to_mel(audio: Audio, config: MelConfig) -> FloatArray:
    """Mix a recording to mono, resample it, and return its log-mel `(n_mels, frames)`.

    Raises:
        InputError: the recording is too short for a frame.
    """
    samples = resample(audio.mono().samples, audio.sample_rate, config.sample_rate)
    mel: FloatArray = log_mel(samples, config)[0]
    return mel


def log_mel(samples: FloatArray, config: MelConfig) -> FloatArray:
    """Return the log-mel `(channels, n_mels, frames)` of `(channels, samples)`, full scale 1.

    `MelConfig.frames` gives the number of frames: floor(samples / hop_length) in the presets.

    Raises:
        InputError: the clip is too short to be reflected at its ends.

    >>> from hifigan_cli.config import MelConfig
    >>> log_mel(np.zeros((1, 22_050), np.float32), MelConfig()).shape
    (1, 80, 86)
    """
    blocks = list(log_mel_stream([samples], samples.shape[-1], config))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)


def log_mel_stream(
    blocks: Iterable[FloatArray], length: int, config: MelConfig, block_frames: int = _BLOCK_FRAMES
) -> Iterator[FloatArray]:
    """Yield the log-mel of `length` samples that arrive in blocks `(channels, samples)`.

    Concatenated, the pieces equal the result of `log_mel`. Only one piece is in memory; with many
    channels the pieces are shorter.

    Raises:
        InputError: as `log_mel`.
    """
    left, hop = config.frames(length), config.hop_length
    pending: list[FloatArray] = []
    n_pending = 0  # samples
    for block in _pad(blocks, length, config):
        pending.append(block)
        n_pending += block.shape[1]
        frames = block_frames // len(block)
        frames = max(1, frames - frames % _PIECE_FRAMES if frames > _PIECE_FRAMES else frames)
        if n_pending < (min(left, frames) - 1) * hop + config.n_fft:
            continue
        joined = np.concatenate(pending, axis=1)
        while left and joined.shape[1] >= ((n := min(left, frames)) - 1) * hop + config.n_fft:
            yield _log_mel_in_pieces(joined, n, config)
            left -= n
            joined = joined[:, n * hop :]
        pending, n_pending = [joined], joined.shape[1]


def _pad(blocks: Iterable[FloatArray], length: int, config: MelConfig) -> Iterator[FloatArray]:
    """Pad a stream of `length` samples at both ends according to the convention."""
    pad, mode = config.padding_samples, config.convention.pad_mode
    min_samples = config.hop_length
    if mode == "reflect":
        min_samples = max(min_samples, pad + 1)
    if length < min_samples:
        raise InputError(f"{length} samples are too few for a mel", f"use at least {min_samples}")
    edge: FloatArray | None = None  # the first samples until there are enough, then the last ones
    started = False
    for block in blocks:
        edge = block if edge is None else np.concatenate((edge, block), axis=1)
        if not started and edge.shape[1] >= min(pad + 1, length):
            yield np.pad(edge, ((0, 0), (pad, 0)), mode)
            started = True
        elif started:
            yield block
        edge = edge[:, -pad - 1 :] if started else edge
    if edge is not None:
        yield np.pad(edge, ((0, 0), (0, pad)), mode)[:, edge.shape[1] :]


def _log_mel_in_pieces(padded: FloatArray, frames: int, config: MelConfig) -> FloatArray:
    hop = config.hop_length
    mel = np.empty((len(padded), config.n_mels, frames), np.float32)
    for start in range(0, frames, _PIECE_FRAMES):
        end = min(start + _PIECE_FRAMES, frames)
        piece = padded[:, start * hop : (end - 1) * hop + config.n_fft]
        mel[..., start:end] = _log_mel_of_padded(piece, config)
    return mel


def _log_mel_of_padded(padded: FloatArray, config: MelConfig) -> DoubleArray:
    """Return the log-mel `(channels, n_mels, frames)` of padded `(channels, samples)`."""
    convention = config.convention
    window, bank = _window_and_filterbank(config)
    frames = sliding_window_view(padded, config.n_fft, axis=-1)[:, :: config.hop_length]
    spectrum = np.fft.rfft(frames * window)
    magnitude = spectrum.real**2 + spectrum.imag**2 + convention.magnitude_epsilon
    if convention.power == 1:
        np.sqrt(magnitude, out=magnitude)
    mel = bank @ magnitude.transpose(0, 2, 1)
    if convention.floor_mode == "clamp":
        mel = np.maximum(mel, convention.floor)
    else:
        mel = mel + convention.floor
    logarithm = np.log if convention.log == "ln" else np.log10
    mel = convention.gain * logarithm(mel) + convention.offset
    return np.clip(mel, *convention.clip) if convention.clip else mel


@lru_cache(maxsize=32)
def _window_and_filterbank(config: MelConfig) -> tuple[DoubleArray, DoubleArray]:
    """Return the window, zero-padded to `(n_fft,)`, and the filterbank `(n_mels, bins)`."""
    win = config.win_length
    steps = win if config.convention.periodic_window else max(1, win - 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / steps)
    before = (config.n_fft - win) // 2
    return np.pad(window, (before, config.n_fft - win - before)), filterbank(config)
