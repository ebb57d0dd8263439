"""`hifigan resynth --report`: the page of what was synthesized."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli.console import check_page, write_page
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.cli.synthesis_view import SynthesisView
    from hifigan_cli.synthesis.jobs import JobResults
    from hifigan_cli.synthesis.pipeline import SynthesisOptions
    from hifigan_cli.synthesis.resynthesis import Resynthesis

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


def check_report(path: Path, sources: Sequence[Path], out: Path, options: SynthesisOptions) -> None:
    """Refuse a report that cannot be written, before any computing.

    Raises:
        UsageError: a pipe, or a shard of the files only.
        OutputError: it exists, or its folder cannot be written.
    """
    if Path("-") in (*sources, out):
        raise UsageError("--report reads input and output again, and a pipe is gone", "name files")
    if not options.shard.whole:
        raise UsageError(
            "a report is of one process that makes all files",
            "leave --shard and torchrun out; or `hifigan evaluate IN OUT --html` afterwards",
        )
    check_page(path, options.force)


def write_report(
    path: Path, players: int, pipeline: Resynthesis, view: SynthesisView, result: JobResults
) -> None:
    """Write the page of the files that were synthesized, with a line on those that failed.

    Raises:
        OutputError: the file system refused.
    """
    from hifigan_cli.reports.resynthesis import page_of_resynthesis
    from hifigan_cli.runtime.devices import device_title

    if not view.written:
        view.console.note("nothing was made, so there is no report")
        return
    files = view.written
    length_s = sum(each.length_s for each in files)
    work_s = sum(each.elapsed_s for each in files)
    vocoder = pipeline.vocoder
    engine = vocoder.engine
    facts = [
        ("model", f"{pipeline.model_name}, {vocoder.model.digest[:12]}"),
        ("enhancement", pipeline.enhancement.title),
        ("engine", f"{engine.name}, {engine.precision}, {device_title(vocoder.device)}"),
        ("files made", f"{len(files):,}, {length_s:.1f} s of speech"),
        ("speed", f"{length_s / work_s:.1f} x real time, {work_s:.1f} s of work"),
    ]
    if result.error:
        facts.append(("failed", result.error.message))
    page = page_of_resynthesis(files, facts, players, mono=pipeline.mono)
    write_page(view.console, path, page, event="report", files=len(files))
