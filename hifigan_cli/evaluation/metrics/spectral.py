"""Distances of spectra: the mel errors of training, and STFT magnitudes at three resolutions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.audio.mel import mel_spectrogram
from hifigan_cli.config import MelConfig

if TYPE_CHECKING:
    from torch import Tensor

    from hifigan_cli.evaluation.metrics.pair import Pair
    from hifigan_cli.types import FloatArray

RESOLUTIONS = (512, 1024, 2048)
# Added to magnitudes, about what rounding to 16 bits leaves in a bin: what lies below is not heard.
MAGNITUDE_OFFSET = 1e-4


def mel_errors(pair: Pair) -> dict[str, float | None]:
    """Return the L1 of natural-log mels: `mel_l1` up to 8 kHz, `mel_l1_full` up to Nyquist.

    The second is the validation error of training, and ties to the official curve.
    """
    band = MelConfig(rate_hz=pair.rate_hz)
    return {
        "mel_l1": _mel_l1(pair, band),
        "mel_l1_full": _mel_l1(pair, band.full_band()),
    }


def _mel_l1(pair: Pair, band: MelConfig) -> float:
    clips = torch.from_numpy(np.stack([pair.reference, pair.hypothesis]))
    reference, hypothesis = mel_spectrogram(clips, band).double()
    return float((reference - hypothesis).abs().mean())


def log_magnitude(pair: Pair) -> dict[str, float | None]:
    """Return the L1 of natural-log STFT magnitudes, mean over windows of 512, 1024 and 2048."""
    distances = []
    for n_fft in RESOLUTIONS:
        logs = [
            torch.log(magnitudes(clip, n_fft) + MAGNITUDE_OFFSET)
            for clip in (pair.reference, pair.hypothesis)
        ]
        distances.append(float((logs[0] - logs[1]).abs().mean()))
    return {"log_magnitude": float(np.mean(distances))}


def magnitudes(clip: FloatArray, n_fft: int) -> Tensor:
    """Return the STFT magnitudes `(bins, frames)` of `(samples,)`: periodic Hann, a quarter's hop.

    Frames are centred and the ends reflected; a clip that is too short for that is padded.
    """
    samples = torch.from_numpy(clip).double()
    if len(samples) <= n_fft // 2:
        samples = torch.nn.functional.pad(samples, (0, n_fft // 2 + 1 - len(samples)))
    spectrum = torch.stft(
        samples, n_fft, n_fft // 4, window=_window(n_fft), center=True, return_complex=True
    )
    return spectrum.abs()


@lru_cache(maxsize=8)
def _window(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft, dtype=torch.float64)
