"""Given mels, and whether they fit their recordings.

Fine-tuning on the mels of an acoustic model (paper section 4.4) takes pairs of a recording and a
mel. A pair that does not belong together, or a mel of another convention, silently spoils the
training. So every pair is checked before it is stored, including whether the mel resembles the
recording's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.audio.conventions import measure, recognize
from hifigan_cli.audio.conventions.recognition import HIGHEST, LOWEST
from hifigan_cli.audio.mel import mel_spectrogram
from hifigan_cli.data.records import Reason
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import AnyArray, FloatArray


# A mel may have a frame more or less than its recording: acoustic models round otherwise.
MAX_FRAMES_APART = 1
# Median difference between the given mel and the recording's own, in log units: on real speech 0.3
# to 0.75 for mels blurred as acoustic models blur them, 1.0 and more for another clip's of the same
# speaker, above 2 for another logarithm. A median does not mind stretches of digital silence.
MAX_DISTANCE = 1.0


class UnfitError(Exception):
    """A recording, or its given mel, cannot be used for training."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def load_mel(path: Path, label: str, config: MelConfig) -> FloatArray:
    """Read a given mel `(n_mels, frames)` or `(1, n_mels, frames)` and check it by itself.

    Raises:
        UnfitError: it cannot be read, or is not a log-mel of this convention.
    """
    try:
        if path.exists():
            open_regular(path).close()  # `np.load` would wait for a writer of a FIFO
        # Pickles can run code; an array of numbers is never stored as one.
        mel = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UnfitError(Reason.MEL_MISSING, f"{label} is not there") from error
    except (OSError, ValueError, EOFError, InputError) as error:
        raise UnfitError(Reason.MEL_UNREADABLE, f"{label} is not a .npy array") from error
    if not isinstance(mel, np.ndarray):  # an archive of arrays, whatever its name
        raise UnfitError(Reason.MEL_UNREADABLE, f"{label} is not a .npy array")
    if mel.ndim == 3 and mel.shape[0] == 1:
        mel = mel[0]
    _check_shape(mel, label, config.n_mels)
    _check_values(mel, label)
    return np.asarray(mel, np.float32)


def fit_pair(
    samples: FloatArray, mel: FloatArray, label: str, config: MelConfig
) -> tuple[FloatArray, FloatArray]:
    """Cut `(samples,)` and `(n_mels, frames)` to the frames they share, checking that they agree.

    Returns:
        `(frames * hop_length,)` samples and `(n_mels, frames)`.

    Raises:
        UnfitError: they differ in length or in content.
    """
    frames, given = len(samples) // config.hop_length, mel.shape[1]
    if abs(frames - given) > MAX_FRAMES_APART:
        raise UnfitError(Reason.MEL_SHAPE, f"{label} has {given} frames, its recording {frames}")
    own = mel_spectrogram(torch.from_numpy(samples)[None], config)[0].numpy()
    shared = min(frames, given)
    mel = mel[:, :shared]
    distance = float(np.median(np.abs(own[:, :shared] - mel)))
    if distance > MAX_DISTANCE:
        raise UnfitError(
            Reason.MEL_FOREIGN,
            f"{label} differs by {distance:.2f} log units from the recording's own mel: "
            "another clip, another level or another logarithm",
        )
    return samples[: shared * config.hop_length], mel


def _check_shape(mel: AnyArray, label: str, bands: int) -> None:
    if mel.ndim != 2 or 0 in mel.shape:
        raise UnfitError(Reason.MEL_SHAPE, f"{label} has shape {mel.shape}, not (mels, frames)")
    if mel.shape[0] == bands:
        return
    if mel.shape[1] == bands:
        raise UnfitError(
            Reason.MEL_SHAPE, f"{label} is (frames, mels); mels come first: np.save(path, mel.T)"
        )
    raise UnfitError(
        Reason.MEL_SHAPE, f"{label} has {mel.shape[0]} bands, the configuration {bands}"
    )


def _check_values(mel: AnyArray, label: str) -> None:
    if mel.dtype.kind != "f":
        raise UnfitError(Reason.MEL_VALUES, f"{label} holds {mel.dtype}, not floating point")
    low, high = float(np.min(mel)), float(np.max(mel))  # NaN passes through both
    if not np.isfinite(low) or not np.isfinite(high):
        raise UnfitError(Reason.NOT_FINITE, f"{label} has values that are not numbers")
    # Only the limits: the recording's own mel reveals log10 and magnitudes more reliably.
    if low < LOWEST or high > HIGHEST:
        raise UnfitError(
            Reason.MEL_VALUES,
            f"{label} lies in {low:.3g} to {high:.3g}: it looks like "
            f"{recognize(measure(mel)).title}, "
            f"natural logarithms lie in {LOWEST:.3g} to {HIGHEST:g}",
        )
