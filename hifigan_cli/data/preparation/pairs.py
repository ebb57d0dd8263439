"""Check that input mels match their recordings.

Fine-tuning on the mels of an acoustic model (paper section 4.4) needs pairs of a recording and a
mel. A mismatched pair, or a mel of another convention, silently degrades the model. So every pair
is checked before it is stored; one check compares the mel with that of the recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.audio.conventions import detect_scale, measure_mel
from hifigan_cli.audio.conventions.detection import MAX_PLAUSIBLE, MIN_PLAUSIBLE
from hifigan_cli.audio.mel import mel_spectrogram
from hifigan_cli.data.records import RejectionReason
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import AnyArray, FloatArray


# A mel may have a frame more or less than its recording: acoustic models round differently.
MAX_FRAME_DIFFERENCE = 1
# Median difference between the input mel and the recording's mel, in log units. On real speech it
# is 0.3 to 0.75 for mels blurred like those of acoustic models, 1.0 and more for another clip of
# the same speaker, above 2 for another log base. A median is robust against digital silence.
MAX_DISTANCE = 1.0


class RejectedError(Exception):
    """A recording or its input mel cannot be used for training."""

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def load_mel(path: Path, label: str, config: MelConfig) -> FloatArray:
    """Read an input mel `(n_mels, frames)` or `(1, n_mels, frames)`; check its shape and values.

    Raises:
        RejectedError: the mel cannot be read, or is not a log-mel of this convention.
    """
    try:
        if path.exists():
            open_regular(path).close()  # `np.load` would wait for a writer of a FIFO
        # Reject pickles, because they can run code; arrays of numbers do not need them.
        mel = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise RejectedError(RejectionReason.MEL_MISSING, f"{label} does not exist") from error
    except (OSError, ValueError, EOFError, InputError) as error:
        raise RejectedError(
            RejectionReason.MEL_UNREADABLE, f"{label} is not a .npy array"
        ) from error
    if not isinstance(mel, np.ndarray):  # an archive of arrays
        raise RejectedError(RejectionReason.MEL_UNREADABLE, f"{label} is not a .npy array")
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    _check_shape(mel, label, config.n_mels)
    _check_values(mel, label)
    return np.asarray(mel, np.float32)


def align_pair(
    samples: FloatArray, mel: FloatArray, label: str, config: MelConfig
) -> tuple[FloatArray, FloatArray]:
    """Cut `(samples,)` and `(n_mels, frames)` to their common frames; check that they match.

    Returns:
        `(frames * hop_length,)` samples and `(n_mels, frames)`.

    Raises:
        RejectedError: they differ in length or in content.
    """
    frames, mel_frames = len(samples) // config.hop_length, mel.shape[1]
    if abs(frames - mel_frames) > MAX_FRAME_DIFFERENCE:
        detail = f"{label} has {mel_frames} frames, but its recording has {frames}"
        raise RejectedError(RejectionReason.MEL_SHAPE, detail)
    expected = mel_spectrogram(torch.from_numpy(samples)[None], config)[0].numpy()
    frames = min(frames, mel_frames)
    mel = mel[:, :frames]
    distance = float(np.median(np.abs(expected[:, :frames] - mel)))
    if distance > MAX_DISTANCE:
        raise RejectedError(
            RejectionReason.MEL_MISMATCH,
            f"{label} differs by {distance:.2f} log units from the mel of its recording: "
            "the mel belongs to another clip, or has another level or log base",
        )
    return samples[: frames * config.hop_length], mel


def _check_shape(mel: AnyArray, label: str, n_mels: int) -> None:
    if mel.ndim != 2 or 0 in mel.shape:
        detail = f"{label} has shape {mel.shape}, not (n_mels, frames)"
    elif mel.shape[0] == n_mels:
        return
    elif mel.shape[1] == n_mels:
        detail = f"{label} is (frames, n_mels); transpose it with np.save(path, mel.T)"
    else:
        detail = f"{label} has {mel.shape[0]} bands, but the configuration has {n_mels}"
    raise RejectedError(RejectionReason.MEL_SHAPE, detail)


def _check_values(mel: AnyArray, label: str) -> None:
    if mel.dtype.kind != "f":
        detail = f"{label} has the type {mel.dtype}, not floating point"
        raise RejectedError(RejectionReason.MEL_VALUES, detail)
    low, high = float(np.min(mel)), float(np.max(mel))  # both are NaN if any value is
    if not np.isfinite(low) or not np.isfinite(high):
        raise RejectedError(RejectionReason.NOT_FINITE, f"{label} has values that are not finite")
    # Check only the limits: comparing with the recording's mel detects log10 and magnitudes better.
    if low < MIN_PLAUSIBLE or high > MAX_PLAUSIBLE:
        raise RejectedError(
            RejectionReason.MEL_VALUES,
            f"{label} lies in {low:.3g} to {high:.3g}: it looks like "
            f"{detect_scale(measure_mel(mel)).title}, "
            f"natural logarithms lie in {MIN_PLAUSIBLE:.3g} to {MAX_PLAUSIBLE:g}",
        )
