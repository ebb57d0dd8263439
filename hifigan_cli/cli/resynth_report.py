"""`hifigan resynth --report`: an HTML page of the synthesized files."""

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
        "--report",
        help="Write a self-contained HTML page with input and output audio, mels and differences.",
    ),
]
Players = Annotated[
    int,
    typer.Option(
        "--report-players",
        min=1,
        help="Number of channels with audio on that page, at most the first 30 s of each.",
    ),
]


def check_report(path: Path, sources: Sequence[Path], out: Path, options: SynthesisOptions) -> None:
    """Check that a report can be written, before any computation.

    Raises:
        UsageError: the input or output is a pipe, or only one shard is processed.
        OutputError: the page exists, or its folder cannot be written.
    """
    if Path("-") in (*sources, out):
        raise UsageError("--report cannot be used with a pipe (-)", "use files for IN and OUT")
    if not options.shard.covers_all:
        raise UsageError(
            "--report needs one process that synthesizes all files",
            "do not use --shard or torchrun, or run `hifigan evaluate IN OUT --html` afterwards",
        )
    check_page(path, options.force)


def write_report(
    path: Path, players: int, pipeline: Resynthesis, view: SynthesisView, result: JobResults
) -> None:
    """Write the page of the synthesized files, and count the failed ones on it.

    Raises:
        OutputError: the file cannot be written.
    """
    from hifigan_cli.reports.resynthesis import resynthesis_page
    from hifigan_cli.runtime.devices import describe_device

    if not view.written:
        view.console.note("no file was synthesized, so no report is written")
        return
    files = view.written
    length_s = sum(file.length_s for file in files)
    elapsed_s = sum(file.elapsed_s for file in files)
    vocoder = pipeline.vocoder
    engine = vocoder.engine
    facts = [
        ("model", f"{pipeline.model_name}, {vocoder.model.digest[:12]}"),
        ("enhancement", pipeline.enhancement.title),
        ("engine", f"{engine.name}, {engine.precision}, {describe_device(vocoder.device)}"),
        ("files", f"{len(files):,}, {length_s:.1f} s of speech"),
        ("speed", f"{length_s / elapsed_s:.1f} times real time, {elapsed_s:.1f} s of computation"),
    ]
    if result.error:
        facts.append(("failed", result.error.message))
    page = resynthesis_page(files, facts, players, mono=pipeline.mono)
    write_page(view.console, path, page, event="report", files=len(files))
