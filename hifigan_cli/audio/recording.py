"""A recording of any length, in flat memory: looked through once, then read in blocks.

Faults and levels are known before the first block is used, so that nothing is written of a file
whose last sample is not a number. What is short is kept from that first look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hifigan_cli.audio.decoding import Encoded
from hifigan_cli.audio.survey import Survey
from hifigan_cli.errors import DamagedError, EmptyError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.types import FloatArray

_REPAIR_HINT = "--repair takes what is there"
# The length of an MP3 without a Xing header is an estimate, to within one frame.
_MPEG_FRAME_SAMPLES = 1152
HELD_SAMPLES = 1 << 21  # of all channels together: 8 MB, a minute and a half at the paper's rate


class Sound(Protocol):
    """Sound of a known length that comes in blocks: an `Audio`, or a `Recording`."""

    @property
    def rate_hz(self) -> int:
        """Samples per second."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def length(self) -> int:
        """Samples a channel."""
        ...

    def blocks(self) -> Iterator[FloatArray]:
        """Yield all of it as float32 `(channels, samples)`, full scale 1."""
        ...


@dataclass(frozen=True)
class Recording:
    """Sound in a file or in its bytes.

    Attributes:
        encoded: where it is.
        rate_hz: samples per second.
        stored_channels: channels in the file.
        subtype: soundfile's name of how the file stores it.
        survey: what its samples come to.
        notes: what reading has to mend, as sentences for the user.
        mixed: whether the channels are read as their mean.
        held: all blocks as they are stored, of what is short; else None.
    """

    encoded: Encoded
    rate_hz: int
    stored_channels: int
    subtype: str
    survey: Survey
    notes: tuple[str, ...]
    mixed: bool = False
    held: tuple[FloatArray, ...] | None = None

    @property
    def label(self) -> str:
        """What to call it."""
        return self.encoded.label

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.mixed else self.stored_channels

    @property
    def length(self) -> int:
        """Samples a channel."""
        return self.survey.length

    def blocks(self) -> Iterator[FloatArray]:
        """Yield `(channels, samples)`: finite, within full scale.

        Raises:
            InputError: the file was changed since it was looked through.
        """
        left = self.length
        for block in self._stored():
            left -= block.shape[1]
            mended = self.survey.mended(block)
            yield mended.mean(axis=0, dtype=np.float32, keepdims=True) if self.mixed else mended
        if left:
            raise InputError(f"{self.label} was changed while it was read")

    def mono(self) -> Recording:
        """Return the mean of the channels, as one channel."""
        return replace(self, mixed=True)

    def _stored(self) -> Iterator[FloatArray]:
        if self.held is not None:
            yield from self.held
            return
        with self.encoded.opened() as decoder:
            yield from decoder.blocks()


def open_recording(
    source: Path | str | bytes,
    name: str | None = None,
    repair: bool = False,
    held_samples: float = HELD_SAMPLES,
) -> Recording:
    """Look through an audio file, or the bytes of one.

    int16 samples are divided by 32 768. A float file whose peak is above 1 is scaled to 1. With
    `repair`, samples that are not finite become 0 and a truncated file gives what it holds; each
    with a note. Up to `held_samples`, of all channels together, are kept in memory.

    Raises:
        InputError: not audio, damaged, empty, or with samples that are not numbers.
    """
    if isinstance(source, bytes):
        encoded = Encoded(source, name or "standard input")
    else:
        encoded = Encoded(Path(source), name or str(source))
    label, damage = encoded.label, encoded.damage()
    if damage and not repair:
        raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    held: list[FloatArray] | None = []
    with encoded.opened() as decoder:
        survey = Survey(decoder.channels)
        for block in decoder.blocks():
            survey.add(block)
            held = None if survey.length * decoder.channels > held_samples else held
            if held is not None:
                held.append(block)
    lost = 0 if decoder.announced is None else decoder.announced - survey.length
    if survey.length == 0:
        raise EmptyError(f"{label} is empty: it has a header and no samples")
    if not damage and lost > _MPEG_FRAME_SAMPLES:
        damage = f"is truncated or damaged: {lost} samples are missing"
        if not repair:
            raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    found = survey.judge(label, repair)
    return Recording(
        encoded,
        decoder.rate_hz,
        decoder.channels,
        decoder.subtype,
        survey,
        (f"{label} {damage}", *found) if damage else tuple(found),
        held=None if held is None else tuple(held),
    )
