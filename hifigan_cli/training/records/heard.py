"""The clips of the last validation as files, to be heard without any other program.

::

    RUN/heard/
      heard.json           {"step": 1000, "names": ["LJ001-0001", ...]}
      1-recording.flac     the first clip as recorded
      1-generated.flac     and as the generator makes it at that step
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.errors import InputError, OutputError
from hifigan_cli.io.files import is_file, write_bytes
from hifigan_cli.training.events import Noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hifigan_cli.training.events import Report, Warned
    from hifigan_cli.training.validation import Heard

_LIST = "heard.json"


class HeardClips:
    """Keeps the sounds of the newest validation in a run's folder."""

    def __init__(self, folder: Path, rate_hz: int, report: Report) -> None:
        self._folder, self._rate_hz, self._report = folder, rate_hz, report

    def scalars(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Take nothing: figures make no sound."""

    def warning(self, warned: Warned) -> None:
        """Take nothing."""

    def clips(self, step: int, heard: Sequence[Heard]) -> None:
        """Write each clip, in the place of its last; a full disk is reported and ends nothing."""
        if not heard:
            return
        names = [clip.name for clip in heard]
        try:
            for number, clip in enumerate(heard, 1):
                for kind, samples in (("recording", clip.recording), ("generated", clip.generated)):
                    path = _sound(self._folder, number, kind)
                    write_audio(path, samples.numpy()[None], self._rate_hz)
            entry = json.dumps({"step": step, "names": names}).encode()
            write_bytes(self._folder / _LIST, entry)
        except (InputError, OutputError) as error:  # a sample may be no number
            self._report(Noted(f"{error.message}; training goes on", warning=True))

    def close(self) -> None:
        """Nothing is pending."""


class KeptClip(NamedTuple):
    """A clip that a run keeps: its name, as recorded, as generated."""

    name: str
    recording: Audio
    generated: Audio


def read_heard(folder: Path) -> tuple[int, list[KeptClip]]:
    """Return the step and the clips that a run keeps; as many as are there and whole.

    A run that is at work may be about to replace one.
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
            pair = [read_audio(_sound(folder, number, kind)) for kind in ("recording", "generated")]
        except InputError:
            continue
        clips.append(KeptClip(name, *pair))
    return step, clips


def _sound(folder: Path, number: int, kind: str) -> Path:
    return folder / f"{number}-{kind}.flac"
