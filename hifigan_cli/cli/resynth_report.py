"""`hifigan resynth --report`: the page of what was made."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli.console import check_page, write_page
from hifigan_cli.errors import BatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.cli.session import Session
    from hifigan_cli.cli.work import Written
    from hifigan_cli.enhancement.stages import Enhancement
    from hifigan_cli.reports.resynthesis import Made
    from hifigan_cli.synthesis.jobs import Job

Report = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Write a page, one file: input and output to hear, mels, differences."
    ),
]
Players = Annotated[
    int,
    typer.Option(
        "--report-players", min=1, help="Channels to hear there, of each at most 30 s: the first."
    ),
]


def check_report(
    path: Path, sources: Sequence[Path], out: Path, session: Session, force: bool
) -> None:
    """Refuse a report that cannot be written, before any computing.

    Raises:
        UsageError: a pipe, or a part of the files only.
        OutputError: it exists, or its folder cannot be written.
    """
    if Path("-") in (*sources, out):
        raise UsageError("--report reads input and output again, and a pipe is gone", "name files")
    if not session.part.whole:
        raise UsageError(
            "a report is of one process that makes all files",
            "leave --shard and torchrun out; or `hifigan evaluate IN OUT --html` afterwards",
        )
    check_page(path, force)


@contextmanager
def reported(
    path: Path | None,
    session: Session,
    enhancement: Callable[[], Enhancement],
    players: int,
    *,
    mono: bool,
) -> Iterator[None]:
    """Let a session run, and write the page of what it made; also where some files failed."""
    if path is None:
        yield
        return
    report = _Report(path, session, enhancement, players, mono)
    session.on_written = report.note
    try:
        yield
    except BatchError as error:
        report.write(error.message)
        raise
    report.write()


@dataclass(frozen=True)
class _Report:
    """A page in the making: where it goes, and what it will tell."""

    path: Path
    session: Session
    enhancement: Callable[[], Enhancement]
    players: int
    mono: bool
    made: list[Made] = field(default_factory=list)

    def note(self, job: Job, written: Written) -> None:
        """Remember a file that was made."""
        from hifigan_cli.reports.resynthesis import Made

        self.made.append(Made(job.source, job.target, written.length_s, written.elapsed_s))

    def write(self, failed: str = "") -> None:
        """Write the page, with a word on what failed.

        Raises:
            OutputError: the file system refused.
        """
        from hifigan_cli.reports.resynthesis import page_of_resynthesis

        console = self.session.console
        if not self.made:
            console.note("nothing was made, so there is no report")
            return
        facts = _facts(self.session, self.enhancement(), self.made, failed)
        page = page_of_resynthesis(self.made, facts, self.players, mono=self.mono)
        write_page(console, self.path, page, event="report", files=len(self.made))


def _facts(
    session: Session, enhancement: Enhancement, made: Sequence[Made], failed: str
) -> list[tuple[str, str]]:
    from hifigan_cli.runtime.devices import device_title

    vocoder = session.vocoder
    model, engine = vocoder.model, vocoder.engine
    length_s = sum(each.length_s for each in made)
    work_s = sum(each.elapsed_s for each in made)
    facts = [
        ("model", f"{model.provenance.get('name', session.path.stem)}, {model.digest[:12]}"),
        ("enhancement", enhancement.title),
        ("engine", f"{engine.name}, {engine.precision}, {device_title(vocoder.device)}"),
        ("files made", f"{len(made):,}, {length_s:.1f} s of speech"),
        ("speed", f"{length_s / work_s:.1f} x real time, {work_s:.1f} s of work"),
    ]
    if failed:
        facts.append(("failed", failed))
    return facts
