"""The clips of the last validation as files, to be heard without any other program.

::

    RUN/validation_audio/
      clips.json           {"step": 1000, "names": ["LJ001-0001", ...]}
      1-recording.flac     the first clip as recorded
      1-generated.flac     and as the generator renders it at that step
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

_LIST = "clips.json"
_KINDS = ("recording", "generated")


@dataclass(frozen=True)
class ValidationClip:
    """A clip as recorded and as generated: samples, and the log-mels up to Nyquist, on the CPU.

    Shape: samples `(samples,)`, mels `(n_mels, frames)`.
    """

    name: str
    recording: Tensor
    generated: Tensor
    recording_mel: Tensor
    generated_mel: Tensor


class SavedClip(NamedTuple):
    """A clip that a run keeps: its name, as recorded, as generated."""

    name: str
    recording: Audio
    generated: Audio


def write_validation_audio(
    folder: Path, step: int, clips: Sequence[ValidationClip], sample_rate: int
) -> None:
    """Write each clip, in the place of that of the last validation.

    Raises:
        InputError: a sample is not a number.
        OutputError: the file system refused.
    """
    for number, clip in enumerate(clips, 1):
        for kind, samples in zip(_KINDS, (clip.recording, clip.generated), strict=True):
            write_audio(_file(folder, number, kind), samples.numpy()[None], sample_rate)
    entry = {"step": step, "names": [clip.name for clip in clips]}
    write_bytes(folder / _LIST, json.dumps(entry).encode())


def read_validation_audio(folder: Path) -> tuple[int, list[SavedClip]]:
    """Return the step and the clips that a run keeps, as many as are there and intact.

    A run in progress may be about to replace one.
    """
    if not is_file(folder / _LIST):
        return 0, []
    try:
        entry = json.loads((folder / _LIST).read_bytes())
        step, names = int(entry["step"]), [str(name) for name in entry["names"]]
    except (ValueError, TypeError, KeyError):
        return 0, []
    clips = []
    for number, name in enumerate(names, 1):
        try:
            pair = [read_audio(_file(folder, number, kind)) for kind in _KINDS]
        except InputError:
            continue
        clips.append(SavedClip(name, *pair))
    return step, clips


def _file(folder: Path, number: int, kind: str) -> Path:
    return folder / f"{number}-{kind}.flac"
