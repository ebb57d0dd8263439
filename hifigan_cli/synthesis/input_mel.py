"""A mel from outside: recognized, turned, converted to the model's scale, or refused.

A mel that does not match the model is the most frequent cause of bad output. So its axes, bands and
values are judged before any synthesis. What is certain to be of another convention is refused,
unless the caller names it (`mel_as`); what only may be is used as it is, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.conventions import SCALES, measure, recognize
from hifigan_cli.audio.conventions.recognition import LOWEST, full_scale, surely_ln
from hifigan_cli.audio.conventions.scales import LOG_FLOOR, scale_of, table_of_scales, to_model
from hifigan_cli.config import MelConvention
from hifigan_cli.errors import InputError, UsageError, closest
from hifigan_cli.synthesis.mel_files import STDIN, open_array, orient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hifigan_cli.audio.conventions import MelScale, Recognition
    from hifigan_cli.config import MelConfig
    from hifigan_cli.io.untrusted import UntrustedFiles
    from hifigan_cli.synthesis.mel_stream import MelStream
    from hifigan_cli.types import AnyArray, FloatArray

AUTO = "auto"
MEL_AS = (AUTO, *SCALES)
_BLOCK_FRAMES = 4096
_TELLING_FRAMES = 16  # of the first block of a stream, to recognize its scale by
# What a mel that looks like the one may well be, when the caller says so.
_ALIKE = {
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
    """A mel `(n_mels, frames)` on some scale, and its conversion to the model's.

    Attributes:
        array: as it is in the file, turned where it had to be; a .npy file is mapped, not read.
        mel: the model's convention.
        scale: what its values are converted from; None: they are used as they are.
        notes: what was done to it, for the user.
        doubts: what may be wrong with it.
    """

    array: AnyArray
    mel: MelConfig
    scale: MelScale | None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """Seconds of speech that it gives."""
        return float(self.array.shape[1] * self.mel.hop_length / self.mel.sample_rate)

    def blocks(self) -> Iterator[FloatArray]:
        """Yield it as the model reads it, `(1, n_mels, frames)`, some seconds each."""
        for start in range(0, self.array.shape[1], _BLOCK_FRAMES):
            yield self.convert(np.array(self.array[:, start : start + _BLOCK_FRAMES]))[None]

    def converted(self) -> FloatArray:
        """Return all of it as the model reads it, `(n_mels, frames)`."""
        return self.convert(np.array(self.array))

    def convert(self, values: AnyArray) -> FloatArray:
        """Return values of any number of frames as the model reads them."""
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
    batches: UntrustedFiles | None = None,
) -> InputMel:
    """Open a mel file, or its bytes, for a model that reads `mel`.

    `mel_as` names the scale of its values, `auto` recognizes the clear ones; None expects the
    model's own. `transpose` reads files that are (frames, mels); `auto` sees that too. Without
    `check` any finite values pass. `batches` is that of `open_array`.

    Raises:
        InputError: not a mel, of other axes or bands, or of another convention.
        UsageError: there is no scale of the name `mel_as`.
    """
    _check_name(mel_as)
    label = STDIN if isinstance(source, bytes) else str(source)
    array, notes = open_array(source, batches), []
    if mel_as == AUTO and not transpose and array.ndim >= 2:
        rows, columns = array.shape[-2:]
        if rows != mel.n_mels == columns:
            transpose = True
            notes.append(f"{label} is (frames, mels): turned")
    array = orient(array, label, mel.n_mels, transpose=transpose)
    return _judge(array, mel, label, notes, mel_as=mel_as, check=check)


def mel_from_array(array: AnyArray, mel: MelConfig, mel_as: str) -> InputMel:
    """Use an array `(n_mels, frames)` whose scale is named, or `auto`, for a model.

    Raises:
        InputError: not a mel, of other bands, or of another convention.
        UsageError: there is no scale of the name `mel_as`.
    """
    _check_name(mel_as)
    label = "the mel"
    return _judge(orient(array, label, mel.n_mels), mel, label, [], mel_as=mel_as, check=True)


def stream_mel(
    stream: MelStream,
    mel: MelConfig,
    *,
    mel_as: str | None = None,
    check: bool = True,
    on_open: Callable[[InputMel], None],
) -> Iterator[FloatArray]:
    """Yield a mel that arrives over time as the model reads it, `(1, n_mels, frames)`.

    The first block is judged as a file is, and handed to `on_open`; the rest is of its scale.

    Raises:
        InputError: as `open_mel`.
        UsageError: there is no scale of the name `mel_as`.
    """
    _check_name(mel_as)
    opened, frame = None, 0
    for block in stream.blocks():
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            raise _not_a_number(STDIN, int(bad[0][0]), frame + int(bad[0][1]))
        if opened is None:
            # A few frames of a longer mel do not show its convention.
            telling = stream.frames is not None or block.shape[1] >= _TELLING_FRAMES
            if mel_as == AUTO and not telling:
                raise UsageError(
                    "the scale of a mel that comes frame by frame cannot be recognized",
                    table_of_scales(),
                )
            judge = check and (telling or mel_as is not None)
            opened = _judge(block, mel, STDIN, [], mel_as=mel_as, check=judge)
            on_open(opened)
        yield opened.convert(block)[None]
        frame += block.shape[1]


def _check_name(mel_as: str | None) -> None:
    if mel_as is not None and mel_as not in MEL_AS:
        hint = closest(mel_as, MEL_AS) or f"one of: {', '.join(MEL_AS)}"
        raise UsageError(f"unknown scale {mel_as!r}", hint)


def _not_a_number(label: str, band: int, frame: int) -> InputError:
    return InputError(f"{label} is not a number at band {band}, frame {frame}")


def _judge(
    array: AnyArray,
    mel: MelConfig,
    label: str,
    notes: list[str],
    *,
    mel_as: str | None,
    check: bool,
) -> InputMel:
    """Decide the scale of an array `(n_mels, frames)`."""
    evidence = measure(array)
    if evidence.bad:
        raise _not_a_number(label, *evidence.bad)
    own, usual = scale_of(mel), mel.convention == MelConvention()
    found = recognize(evidence, full_scale(mel)) if usual else recognize(evidence)
    if own is None and mel_as is None:
        return InputMel(array, mel, None, tuple(notes))  # of a range that no rule knows
    scale: MelScale | None = None
    doubts: tuple[str, ...] = ()
    if mel_as == AUTO:
        scale = _recognized(found, own, label, sure=found.certain or surely_ln(evidence))
    elif mel_as is not None:
        scale = SCALES[mel_as]
        alike = _ALIKE.get(found.kind, ())  # bases near each other are not told apart
        if check and found.certain and found.kind != "loud" and mel_as not in alike:
            raise InputError(
                f"{label} looks like {found.title}, not {scale.title}: {found.why}",
                _way_out(found),
            )
    elif check and own is not None and not _passes(found, own):
        if found.certain:
            raise InputError(
                f"{label} looks like {found.title}: {found.why}; this model reads {own.title}",
                _way_out(found),
            )
        doubts = (f"{label} may be {found.title}: {found.why}; {_way_out(found)}",)
    if scale is not None and scale != own:
        exact = own is not None and scale.of_power == own.of_power
        how = "exactly" if exact else "nearly: bands of power are no squares of magnitudes"
        notes.append(f"{label}: {scale.title} ({found.why}), converted {how}")
    elif scale is None and usual and check and not doubts and evidence.low < LOWEST:
        scale = own
        notes.append(f"{label}: values under the model's floor of {LOG_FLOOR:.3f} are raised to it")
    return InputMel(array, mel, scale, tuple(notes), doubts)


def _passes(found: Recognition, own: MelScale) -> bool:
    """Tell whether a mel may be what the model reads."""
    if own.name == found.kind or (found.kind == "ln" and not found.certain):
        return True
    return own.name != "ln" and found.kind in ("loud", *_ALIKE[own.name])


def _recognized(found: Recognition, own: MelScale | None, label: str, *, sure: bool) -> MelScale:
    """Return the scale that a mel is surely on, the model's own if that looks alike, or raise."""
    if found.kind not in SCALES and found.kind != "loud":
        raise InputError(
            f"{label} looks like {found.title}: {found.why}; it cannot be converted",
            _way_out(found),
        )
    if not sure or found.kind not in SCALES:
        raise InputError(
            f"the scale of {label} cannot be recognized surely: {found.why}, as of {found.title}",
            table_of_scales(),
        )
    if own is not None and _passes(found, own):
        return own
    return SCALES[found.kind]


def _way_out(found: Recognition) -> str:
    if found.kind in SCALES:
        fix = f"--mel-as {found.kind} converts it"
    elif found.kind == "loud":
        fix = "name its scale with --mel-as, or compute it with `hifigan mel --like MODEL`"
    else:
        fix = "undo that with the numbers it was made with, then use --mel-as"
    return f"{fix}; --no-check takes it as it is"
