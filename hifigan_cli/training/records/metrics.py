"""Where figures go: `Sink` is what each such place can do, `Metrics` the one that is always there.

metrics.jsonl has one object a line: `{"event": "train", "step": 10, "mel": 1.2, ...}` and
`{"event": "validation", "step": 1000, "mel_l1_full": 0.5, ...}`. After a resume from step n, lines
beyond n are dropped first, since those steps are done again; without a checkpoint all lines are,
the validation before the first step among them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from hifigan_cli.audio.files import write_bytes
from hifigan_cli.training.events import Noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hifigan_cli.training.events import Report
    from hifigan_cli.training.validation import Heard


class Sink(Protocol):
    """A place for a run's figures."""

    def scalars(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Take named numbers of an event: `train` or `validation`."""

    def clips(self, step: int, heard: Sequence[Heard]) -> None:
        """Take validation clips as recorded and as generated."""

    def close(self) -> None:
        """Write out what is pending."""


class Metrics:
    """Appends figures to metrics.jsonl."""

    def __init__(self, path: Path, resumed_step: int, report: Report) -> None:
        if path.exists():
            kept = _up_to(path.read_bytes(), resumed_step) if resumed_step else b""
            write_bytes(path, kept)
        self._path = path
        self._report = report
        self._stream = path.open("a", encoding="utf-8")

    def scalars(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Append one line; a full disk is reported and does not end the run."""
        try:
            self._stream.write(json.dumps({"event": event, "step": step, **values}) + "\n")
            self._stream.flush()
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}; training goes on"
            self._report(Noted(message, warning=True))

    def clips(self, step: int, heard: Sequence[Heard]) -> None:
        """Take nothing: sound and pictures do not fit in lines."""

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _up_to(content: bytes, step: int) -> bytes:
    """Keep the whole lines of steps up to `step`; a kill may have cut the last line."""
    kept = []
    for line in content.splitlines(keepends=True):
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n") and entry["step"] <= step:
            kept.append(line)
    return b"".join(kept)
