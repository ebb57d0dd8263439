"""Where figures go: `Sink` is what each such place can do, `Metrics` the one that is always there.

metrics.jsonl has one object a line: `{"event": "train", "step": 10, "mel": 1.2, ...}` and
`{"event": "validation", "step": 1000, "mel_l1_full": 0.5, ...}`; a warning is
`{"event": "warning", "step": 1000, "kind": "learning_rate", "message": ...}`.

After a resume from step n, lines beyond n are dropped first, since those steps are done again;
without a checkpoint all lines are, the validation before the first step among them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from hifigan_cli.io.files import is_file, write_bytes
from hifigan_cli.training.events import Noted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hifigan_cli.training.events import Report, Warned
    from hifigan_cli.training.validation import Heard


class Sink(Protocol):
    """A place for a run's figures."""

    def scalars(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Take named numbers of an event: `train` or `validation`."""

    def warning(self, warned: Warned) -> None:
        """Take words on what is wrong."""

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
        self._append({"event": event, "step": step, **values})

    def warning(self, warned: Warned) -> None:
        """Append one line, likewise."""
        self._append({"event": "warning", **asdict(warned)})

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}; training goes on"
            self._report(Noted(message, warning=True))

    def clips(self, step: int, heard: Sequence[Heard]) -> None:
        """Take nothing: sound and pictures do not fit in lines."""

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the object of each whole line; nothing where there is no file."""
    if is_file(path):
        with path.open("rb") as stream:
            yield from (entry for _, entry in _whole(stream))


def _up_to(content: bytes, step: int) -> bytes:
    """Keep the whole lines of steps up to `step`."""
    lines = content.splitlines(keepends=True)
    return b"".join(line for line, entry in _whole(lines) if entry["step"] <= step)


def _whole(lines: Iterable[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Leave out what a kill cut in the middle."""
    for line in lines:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n"):
            yield line, entry
