"""Audio files with the clips of the last validation.

::

    RUN/validation_audio/
      clips.json           {"step": 1000, "names": ["LJ001-0001", ...]}
      1-recording.flac     the recording of the first clip
      1-generated.flac     the generator's output for it at that step
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

_INDEX_FILE = "clips.json"
_KINDS = ("recording", "generated")


@dataclass(frozen=True)
class ValidationClip:
    """A recorded and a generated clip: samples and log-mels up to Nyquist, on the CPU.

    Shape: samples `(samples,)`, mels `(n_mels, frames)`.
    """

    name: str
    recording: Tensor
    generated: Tensor
    recording_mel: Tensor
    generated_mel: Tensor


class SavedClip(NamedTuple):
    """A recorded and a generated clip in a run folder."""

    name: str
    recording: Audio
    generated: Audio


def write_validation_audio(
    folder: Path, step: int, clips: Sequence[ValidationClip], sample_rate: int
) -> None:
    """Write all clips, replacing those of the last validation.

    Raises:
        InputError: a sample is not finite.
        OutputError: a file cannot be written.
    """
    for number, clip in enumerate(clips, 1):
        for kind, samples in zip(_KINDS, (clip.recording, clip.generated), strict=True):
            write_audio(_file(folder, number, kind), samples.numpy()[None], sample_rate)
    entry = {"step": step, "names": [clip.name for clip in clips]}
    write_bytes(folder / _INDEX_FILE, json.dumps(entry).encode())


def read_validation_audio(folder: Path) -> tuple[int, list[SavedClip]]:
    """Return the step and all clips that are complete.

    A run in progress may be replacing one.
    """
    if not is_file(folder / _INDEX_FILE):
        return 0, []
    try:
        entry = json.loads((folder / _INDEX_FILE).read_bytes())
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
