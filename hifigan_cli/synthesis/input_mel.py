"""Check an input mel, and convert it to the model's scale.

A mel that does not match the model is the most frequent cause of bad output. So its axes, bands and
values are checked before synthesis. A mel that is certainly on another scale is rejected, unless
the caller names that scale (`mel_as`). A mel that is possibly on another scale is used unchanged,
with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.conventions import SCALES, detect_scale, measure_mel
from hifigan_cli.audio.conventions.detection import MIN_PLAUSIBLE, is_certainly_ln, max_log_mel
from hifigan_cli.audio.conventions.scales import LOG_FLOOR, find_scale, scale_table, to_model
from hifigan_cli.config import MelConvention
from hifigan_cli.errors import InputError, UsageError, did_you_mean
from hifigan_cli.synthesis.mel_files import STDIN, open_array, orient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hifigan_cli.audio.conventions import DetectedScale, MelScale
    from hifigan_cli.config import MelConfig
    from hifigan_cli.io.untrusted import UntrustedFiles
    from hifigan_cli.synthesis.mel_stream import MelStream
    from hifigan_cli.types import AnyArray, FloatArray

AUTO = "auto"
MEL_AS_CHOICES = (AUTO, *SCALES)
_BLOCK_FRAMES = 4096
_MIN_DETECTION_FRAMES = 16  # fewer do not identify the scale of a stream
# Detected scale -> the scales that look similar enough to believe `mel_as`.
_SIMILAR_SCALES = {
    "ln": ("ln", "ln-power"),
    "log10": ("log10", "log10-power"),
    "log2": ("log2", "ln-power", "log10-power"),
    "db": ("db", "db-power"),
    "db-power": ("db", "db-power"),
    "magnitude": ("magnitude", "power"),
    "ln-power": ("ln-power", "log2", "log10-power"),
    "log10-power": ("log10-power", "log10"),
    "power": ("power", "magnitude"),
}


@dataclass(frozen=True)
class InputMel:
    """A mel `(n_mels, frames)` on any scale, and its conversion to the model's scale.

    Attributes:
        array: the values from the file, transposed if necessary; a .npy file is memory-mapped.
        mel: the mel configuration of the model.
        scale: the scale to convert from; None leaves the values unchanged.
        notes: messages about the changes to the mel.
        warnings: messages about possible problems.
    """

    array: AnyArray
    mel: MelConfig
    scale: MelScale | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """Duration of its speech, in seconds."""
        return float(self.array.shape[1] * self.mel.hop_length / self.mel.sample_rate)

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the mel on the model's scale, in blocks `(1, n_mels, frames)` of some seconds."""
        for start in range(0, self.array.shape[1], _BLOCK_FRAMES):
            yield self.convert(np.array(self.array[:, start : start + _BLOCK_FRAMES]))[None]

    def convert_all(self) -> FloatArray:
        """Return the complete mel `(n_mels, frames)` on the model's scale."""
        return self.convert(np.array(self.array))

    def convert(self, values: AnyArray) -> FloatArray:
        """Convert frames `(n_mels, frames)` to the model's scale."""
        if self.scale is None:
            return np.asarray(values, np.float32)
        return to_model(values, self.scale, self.mel)


def open_mel(
    source: Path | bytes,
    mel: MelConfig,
    *,
    mel_as: str | None = None,
    transpose: bool = False,
    check: bool = True,
    torch_files: UntrustedFiles | None = None,
) -> InputMel:
    """Open a mel file, or its bytes, for a model with the configuration `mel`.

    `mel_as` is the scale of the values; `auto` detects it if it is unambiguous, and None expects
    the model's scale. `transpose` accepts files that are (frames, n_mels); `auto` detects that too.
    `check=False` accepts any finite values. See `open_array` for `torch_files`.

    Raises:
        InputError: not a mel, or with the wrong axes, bands or scale.
        UsageError: `mel_as` is not a known scale.
    """
    _check_name(mel_as)
    label = STDIN if isinstance(source, bytes) else str(source)
    array, notes = open_array(source, torch_files), []
    if mel_as == AUTO and not transpose and array.ndim >= 2:
        rows, columns = array.shape[-2:]
        if rows != mel.n_mels == columns:
            transpose = True
            notes.append(f"{label} is (frames, n_mels) and was transposed")
    array = orient(array, label, mel.n_mels, transpose=transpose)
    return _identify_scale(array, mel, label, notes, mel_as=mel_as, check=check)


def mel_from_array(array: AnyArray, mel: MelConfig, mel_as: str) -> InputMel:
    """Check an array `(n_mels, frames)` on the scale `mel_as`, or `auto`, for a model.

    Raises:
        InputError: not a mel, or with the wrong number of bands or scale.
        UsageError: `mel_as` is not a known scale.
    """
    _check_name(mel_as)
    label = "the mel"
    array = orient(array, label, mel.n_mels)
    return _identify_scale(array, mel, label, [], mel_as=mel_as, check=True)


def stream_mel(
    stream: MelStream,
    mel: MelConfig,
    *,
    mel_as: str | None = None,
    check: bool = True,
    on_open: Callable[[InputMel], None],
) -> Iterator[FloatArray]:
    """Yield a mel that arrives over time, on the model's scale, in blocks `(1, n_mels, frames)`.

    The first block is checked like a file, and passed to `on_open`; the others have its scale.

    Raises:
        InputError: see `open_mel`.
        UsageError: `mel_as` is not a known scale, or the first block is too short for `auto`.
    """
    _check_name(mel_as)
    opened, frame = None, 0
    for block in stream.blocks():
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            raise _not_finite(STDIN, int(bad[0][0]), frame + int(bad[0][1]))
        if opened is None:
            # A few frames of a longer mel do not show its scale.
            detectable = stream.frames is not None or block.shape[1] >= _MIN_DETECTION_FRAMES
            if mel_as == AUTO and not detectable:
                raise UsageError(
                    f"--mel-as {AUTO} cannot detect the scale of a mel that arrives frame by frame",
                    scale_table(),
                )
            check = check and (detectable or mel_as is not None)
            opened = _identify_scale(block, mel, STDIN, [], mel_as=mel_as, check=check)
            on_open(opened)
        yield opened.convert(block)[None]
        frame += block.shape[1]


def _check_name(mel_as: str | None) -> None:
    if mel_as is not None and mel_as not in MEL_AS_CHOICES:
        hint = did_you_mean(mel_as, MEL_AS_CHOICES) or f"one of: {', '.join(MEL_AS_CHOICES)}"
        raise UsageError(f"unknown scale {mel_as!r}", hint)


def _not_finite(label: str, band: int, frame: int) -> InputError:
    return InputError(f"{label} has a NaN or infinite value at band {band}, frame {frame}")


def _identify_scale(
    array: AnyArray,
    mel: MelConfig,
    label: str,
    notes: list[str],
    *,
    mel_as: str | None,
    check: bool,
) -> InputMel:
    """Find the scale of an array `(n_mels, frames)`: detected, `mel_as`, or the model's."""
    statistics = measure_mel(array)
    if statistics.first_nonfinite:
        raise _not_finite(label, *statistics.first_nonfinite)
    expected, is_default = find_scale(mel), mel.convention == MelConvention()
    detected = detect_scale(statistics, *([max_log_mel(mel)] if is_default else []))
    if expected is None and mel_as is None:
        return InputMel(array, mel, None, tuple(notes))  # no rule knows the model's scale
    scale: MelScale | None = None
    warnings: tuple[str, ...] = ()
    looks_like = f"{label} looks like {detected.title} ({detected.reason})"
    if mel_as == AUTO:
        certain = detected.certain or is_certainly_ln(statistics)
        scale = _detected_scale(detected, expected, label, certain=certain)
    elif mel_as is not None:
        scale = SCALES[mel_as]
        similar = _SIMILAR_SCALES.get(detected.kind, ())  # similar bases cannot be distinguished
        if (
            check
            and detected.certain
            and detected.kind != "above_full_scale"
            and mel_as not in similar
        ):
            hint = _conversion_hint(detected, expected)
            raise InputError(f"{looks_like}, not {scale.title}", hint)
    elif check and expected is not None and not _may_be(expected, detected):
        if detected.certain:
            raise InputError(
                f"{looks_like}; this model reads {expected.title}", _conversion_hint(detected)
            )
        warnings = (
            f"{label} may be {detected.title} ({detected.reason}); {_conversion_hint(detected)}",
        )
    if scale is not None and scale != expected:
        exact = expected is not None and scale.is_power == expected.is_power
        how = "exactly" if exact else "approximately, because power and magnitude bands differ"
        notes.append(f"{label}: {scale.title} ({detected.reason}), converted {how}")
    elif scale is None and is_default and check and not warnings and statistics.low < MIN_PLAUSIBLE:
        scale = expected
        notes.append(f"{label}: values below the model's floor {LOG_FLOOR:.3f} were raised to it")
    return InputMel(array, mel, scale, tuple(notes), warnings)


def _may_be(expected: MelScale, detected: DetectedScale) -> bool:
    """Return whether a mel may be on the expected scale."""
    if expected.name == detected.kind or (detected.kind == "ln" and not detected.certain):
        return True
    return expected.name != "ln" and detected.kind in (
        "above_full_scale",
        *_SIMILAR_SCALES[expected.name],
    )


def _detected_scale(
    detected: DetectedScale, expected: MelScale | None, label: str, *, certain: bool
) -> MelScale:
    """Return the detected scale, or the expected one if it is similar; raise if uncertain."""
    if detected.kind not in SCALES and detected.kind != "above_full_scale":
        raise InputError(
            f"{label} looks like {detected.title} ({detected.reason}) and cannot be converted",
            _conversion_hint(detected),
        )
    if not certain or detected.kind not in SCALES:
        raise InputError(
            f"--mel-as {AUTO} cannot detect the scale of {label}: it may be {detected.title} "
            f"({detected.reason})",
            scale_table(),
        )
    if expected is not None and _may_be(expected, detected):
        return expected
    return SCALES[detected.kind]


def _conversion_hint(detected: DetectedScale, expected: MelScale | None = None) -> str:
    if expected is not None and detected.kind == expected.name:
        return "omit --mel-as: the model reads this scale"
    if detected.kind in SCALES:
        fix = f"use --mel-as {detected.kind} to convert it"
    elif detected.kind == "above_full_scale":
        fix = "name its scale with --mel-as, or compute it with `hifigan mel --like MODEL`"
    else:
        fix = "undo the normalization, then use --mel-as"
    return f"{fix}, or --no-check to use it unchanged"
