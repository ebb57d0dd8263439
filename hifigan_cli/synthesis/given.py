"""A mel file taken as what it is: recognised, turned, converted, or refused with the way out.

A mel that does not match the model is the most frequent cause of bad output. So its axes, bands and
values are judged before any synthesis. What is certain to be of another convention is refused,
unless the caller names it (`taken_as`); what may be is taken, with a doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.conventions import SCALES, gather, recognise
from hifigan_cli.audio.conventions.recognition import LOWEST, full_scale
from hifigan_cli.audio.conventions.scales import LOG_FLOOR, scale_of, to_model
from hifigan_cli.config import MelConvention
from hifigan_cli.errors import InputError, UsageError, closest
from hifigan_cli.synthesis.incoming import finite
from hifigan_cli.synthesis.melfiles import STDIN, blocks, label_of, open_array, oriented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from hifigan_cli.audio.conventions import Scale, Verdict
    from hifigan_cli.config import MelConfig
    from hifigan_cli.synthesis.incoming import IncomingMel
    from hifigan_cli.types import AnyArray

AUTO = "auto"
_TELLING_FRAMES = 16  # of the first block of a stream, to tell its scale by
MEL_AS = (AUTO, *SCALES)
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
class Given:
    """A mel `(mels, frames)` on some scale, and how it becomes the model's.

    Attributes:
        array: as it is in the file, turned where it had to be; mapped, not read, where it can be.
        mel: the model's convention.
        scale: what its values are converted from; None: they are taken as they are.
        notes: what was done to it, for the user.
        doubts: what may be wrong with it.
    """

    array: AnyArray
    mel: MelConfig
    scale: Scale | None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """Seconds of speech that it makes."""
        return float(self.array.shape[1] * self.mel.hop_samples / self.mel.rate_hz)

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield it as the model reads it, `(1, mels, frames)`, some seconds each."""
        return blocks(self.array, self.convert)

    def whole(self) -> npt.NDArray[np.float32]:
        """Return it as the model reads it, `(mels, frames)`."""
        return self.convert(np.array(self.array))

    def convert(self, values: AnyArray) -> npt.NDArray[np.float32]:
        """Return values of any number of frames as the model reads them."""
        if self.scale is None:
            return np.asarray(values, np.float32)
        return to_model(values, self.scale, self.mel)


def take(
    source: Path | bytes,
    mel: MelConfig,
    *,
    taken_as: str | None = None,
    transpose: bool = False,
    check: bool = True,
) -> Given:
    """Open a mel file, or its bytes, for a model that reads `mel`.

    `taken_as` names the scale of its values, `auto` lets them tell; None expects the model's own.
    `transpose` takes files that are (frames, mels); `auto` sees that too. Without `check` any
    finite values pass.

    Raises:
        InputError: not a mel, of other axes or bands, or of another convention.
        UsageError: there is no scale of the name `taken_as`.
    """
    _check_scale(taken_as)
    label, array = label_of(source), open_array(source)
    notes = []
    if taken_as == AUTO and not transpose and _is_turned(array, mel.n_mels):
        transpose = True
        notes.append(f"{label} is (frames, mels): turned")
    array = oriented(array, label, mel.n_mels, transpose=transpose)
    return _judged(array, mel, label, notes, taken_as=taken_as, check=check)


def take_array(array: AnyArray, mel: MelConfig, taken_as: str) -> Given:
    """Take an array `(mels, frames)` whose scale is named, or `auto`, for a model that reads `mel`.

    Raises:
        InputError: not a mel, of other bands, or of another convention.
        UsageError: there is no scale of the name `taken_as`.
    """
    _check_scale(taken_as)
    label = "the mel"
    array = oriented(array, label, mel.n_mels)
    return _judged(array, mel, label, [], taken_as=taken_as, check=True)


def take_incoming(
    incoming: IncomingMel,
    mel: MelConfig,
    *,
    taken_as: str | None = None,
    check: bool = True,
    on_given: Callable[[Given], None],
) -> Iterator[npt.NDArray[np.float32]]:
    """Take a mel that arrives over time; yield it as the model reads it, `(1, mels, frames)`.

    What comes first is judged as a file is, and told to `on_given`; the rest is of its scale.

    Raises:
        InputError: as `take`.
        UsageError: there is no scale of the name `taken_as`.
    """
    _check_scale(taken_as)
    given, at = None, 0
    for block in incoming.blocks():
        if given is None:
            # A few frames of a longer mel tell nothing of its convention.
            telling = incoming.frames is not None or block.shape[1] >= _TELLING_FRAMES
            sure = taken_as not in (None, AUTO)
            if taken_as == AUTO and not telling:
                raise UsageError(
                    "the scale of a mel that comes frame by frame cannot be recognised",
                    f"--mel-as names it: {', '.join(SCALES)}",
                )
            judge = check and (telling or sure)
            given = _judged(finite(block, 0), mel, STDIN, [], taken_as=taken_as, check=judge)
            on_given(given)
        yield given.convert(finite(block, at))[None]
        at += block.shape[1]


def _check_scale(taken_as: str | None) -> None:
    if taken_as is not None and taken_as not in MEL_AS:
        hint = closest(taken_as, MEL_AS) or f"one of: {', '.join(MEL_AS)}"
        raise UsageError(f"unknown scale {taken_as!r}", hint)


def _judged(
    array: AnyArray,
    mel: MelConfig,
    label: str,
    notes: list[str],
    *,
    taken_as: str | None,
    check: bool,
) -> Given:
    """Tell the scale of an array `(mels, frames)`."""
    evidence = gather(array)
    if evidence.bad:
        band, frame = evidence.bad
        raise InputError(f"{label} is not a number at band {band}, frame {frame}")
    own, usual = scale_of(mel), mel.convention == MelConvention()
    verdict = recognise(evidence, full_scale(mel)) if usual else recognise(evidence)
    if own is None and taken_as is None:
        return Given(array, mel, None, tuple(notes))  # of a range that no rule knows
    scale, doubts = _scale(taken_as, own, verdict, label, check=check)
    if scale is not None and scale != own:
        exact = own is not None and scale.of_power == own.of_power
        how = "exactly" if exact else "nearly: bands of power are no squares of magnitudes"
        notes.append(f"{label}: {scale.title} ({verdict.why}), converted {how}")
    elif scale is None and usual and check and not doubts and evidence.low < LOWEST:
        scale = own
        notes.append(f"{label}: values under the model's floor of {LOG_FLOOR:.3f} are raised to it")
    return Given(array, mel, scale, tuple(notes), doubts)


def _is_turned(array: AnyArray, n_mels: int) -> bool:
    shape = array.shape[-2:]
    return len(shape) == 2 and shape[0] != n_mels == shape[1]


def _scale(
    taken_as: str | None, own: Scale | None, verdict: Verdict, label: str, *, check: bool
) -> tuple[Scale | None, tuple[str, ...]]:
    """Decide the scale to convert from, None for none, and what to warn of."""
    if taken_as == AUTO:
        return SCALES[_recognised(verdict, own, label)], ()
    if taken_as is not None:
        if check:
            _refuse_contradiction(SCALES[taken_as], verdict, label)
        return SCALES[taken_as], ()
    if not check or own is None or _passes(verdict, own):
        return None, ()
    if verdict.certain:
        raise InputError(
            f"{label} looks like {verdict.title}: {verdict.why}; this model reads {own.title}",
            _way_out(verdict),
        )
    return None, (f"{label} may be {verdict.title}: {verdict.why}; {_way_out(verdict)}",)


def _passes(verdict: Verdict, own: Scale) -> bool:
    """Tell whether a mel may be what the model reads."""
    if own.name == verdict.kind or (verdict.kind == "ln" and not verdict.certain):
        return True
    return own.name != "ln" and verdict.kind in ("loud", *_ALIKE[own.name])


def _recognised(verdict: Verdict, own: Scale | None, label: str) -> str:
    """Return the name of the scale that a mel is surely on, the model's own where none shows.

    Raises:
        InputError: it cannot be told, or cannot be converted.
    """
    if verdict.kind not in SCALES:
        raise InputError(
            f"{label} looks like {verdict.title}: {verdict.why}; it cannot be converted",
            _way_out(verdict),
        )
    if own is not None and _passes(verdict, own):
        return own.name
    if not verdict.certain:
        raise InputError(
            f"{label} may be {verdict.title}, or not: {verdict.why}",
            f"name what it is, such as --mel-as {verdict.kind}",
        )
    return verdict.kind


def _refuse_contradiction(scale: Scale, verdict: Verdict, label: str) -> None:
    """Refuse a scale that a mel is certain not to be on; bases near each other are not told apart.

    Raises:
        InputError: says what it looks like.
    """
    if not verdict.certain or verdict.kind == "loud":
        return
    if scale.name in _ALIKE.get(verdict.kind, ()):
        return
    raise InputError(
        f"{label} looks like {verdict.title}, not {scale.title}: {verdict.why}",
        _way_out(verdict),
    )


def _way_out(verdict: Verdict) -> str:
    if verdict.kind in SCALES:
        mend = f"--mel-as {verdict.kind} converts it"
    elif verdict.kind == "loud":
        mend = "name its scale with --mel-as, or compute it with `hifigan mel --like MODEL`"
    else:
        mend = "undo that with the numbers it was made with, then use --mel-as"
    return f"{mend}; --no-check takes it as it is"
