"""Slaney's mel filters, from torchaudio, in double precision.

torchaudio computes in torch's default type. In single precision the small weights at the foot of a
filter are off by up to 2e-3, which moves the log-mel of a pure tone by 7e-4; in double they are
exact.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from hifigan_cli.config import MelConfig


def slaney_filterbank(config: MelConfig) -> Tensor:
    """Return triangles of equal area, evenly spaced in Slaney's mel: float64 `(mels, bins)`.

    Raises:
        UsageError: torch and torchaudio are installed in versions that do not pair.
    """
    try:
        from torchaudio.functional import melscale_fbanks
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"torchaudio cannot be used beside torch {torch.__version__}: {reason}",
            "pip install 'torch>=2.11,<2.15' 'torchaudio>=2.11,<3'; `hifigan doctor` says more",
        ) from error
    with _double_precision(), warnings.catch_warnings():
        # Narrow low bands may lie between two bins; they are then silent, as the convention says.
        warnings.filterwarnings("ignore", "At least one mel filterbank has all zero values")
        bank: Tensor = melscale_fbanks(
            n_freqs=config.n_fft // 2 + 1,
            f_min=config.fmin_hz,
            f_max=config.top_hz,
            n_mels=config.n_mels,
            sample_rate=config.rate_hz,
            norm="slaney",
            mel_scale="slaney",
        )
    return bank.T.contiguous()


@contextmanager
def _double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
