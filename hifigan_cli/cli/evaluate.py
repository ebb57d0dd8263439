"""`hifigan evaluate`: recordings beside what was made of them, in figures and to listen to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.evaluation import Report
    from hifigan_cli.evaluation.bars import Verdict


def evaluate(
    reference: Annotated[
        Path, typer.Argument(readable=False, help="A recording, or a folder of recordings.")
    ],
    hypothesis: Annotated[
        Path,
        typer.Argument(
            readable=False, help="What was made of it, or a folder with the same names in it."
        ),
    ],
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="A,B",
            help="mel, log_magnitude, mcd, pesq, stoi, pitch, silence, high, distillmos, dnsmos. "
            "Default: all that are installed.",
        ),
    ] = None,
    bar: Annotated[
        str | None,
        typer.Option(
            "--bar",
            help="v1, v2, v3 or release: exit with 1 unless the means reach all its limits.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a row a clip.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a listening page, one file.")
    ] = None,
    html_clips: Annotated[
        int, typer.Option("--html-clips", min=1, help="Clips to hear there, from worst to best.")
    ] = 12,
    align: Annotated[
        bool, typer.Option(help="Shift all results by the delay that they share.")
    ] = True,
    repair: options.Repair = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Processes. Default: one a core.", show_default=False
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how near results come to their recordings, over files or folders.

    Files belong together when they agree in everything but the extension. Means come with 95 %
    intervals over clips. Metrics whose package is not installed are named and left out; a bar that
    needs them is not passed.
    """
    from hifigan_cli.cli.console import check_page, write_page
    from hifigan_cli.cli.evaluate_view import print_report, say_what_to_know
    from hifigan_cli.evaluation import evaluate as compare
    from hifigan_cli.evaluation.bars import judge, limits_of
    from hifigan_cli.evaluation.pairing import match_files
    from hifigan_cli.evaluation.tables import to_csv
    from hifigan_cli.io.files import check_output, write_bytes
    from hifigan_cli.reports.evaluation import page_of_report

    console = Console(json=json, quiet=quiet)
    if bar:
        limits_of(bar)  # a mistyped name must not cost minutes
    if csv:
        check_output(csv, force)
    if html:
        check_page(html, force)
    count = len(match_files(reference, hypothesis).matches)
    with console.progress("clips", count) as advance:
        report = compare(
            reference,
            hypothesis,
            metrics=[name.strip() for name in metrics.split(",")] if metrics else None,
            report=lambda done, _, name: advance(done, name),
            align=align,
            repair=repair,
            workers=workers,
        )
    verdicts = judge(report, bar) if bar else ()
    say_what_to_know(console, report)
    print_report(console, report, bar, verdicts)
    if csv:
        write_bytes(csv, to_csv(report).encode(errors="surrogateescape"))
        console.result("csv", f"{csv}: {len(report.clips)} rows", target=str(csv))
    if html:
        shown = min(html_clips, len(report.clips))
        page = page_of_report(report, html_clips, verdicts)
        write_page(console, html, page, f"{shown} clips to hear, ", clips=shown)
    _conclude(console, report, bar, verdicts)


def _conclude(
    console: Console, report: Report, bar: str | None, verdicts: tuple[Verdict, ...]
) -> None:
    """Turn failures, and a bar that was missed, into the exit code.

    Raises:
        BatchError: some clips could not be compared.
        BelowBarError: a mean misses its limit, or could not be judged.
    """
    from hifigan_cli.errors import BatchError, BelowBarError
    from hifigan_cli.evaluation.bars import LEAST_CLIPS
    from hifigan_cli.evaluation.measures import MEASURE_OF
    from hifigan_cli.evaluation.metrics.packages import how_to_install

    if bar and len(report.clips) < LEAST_CLIPS:
        console.warn(f"{len(report.clips)} clips: a bar wants at least {LEAST_CLIPS}")
    if report.failures:
        total = len(report.clips) + len(report.failures)
        raise BatchError(f"{len(report.failures)} of {total} clips could not be compared")
    missed = [v.limit.column for v in verdicts if not v.passed and v.mean is not None]
    unknown = [v.limit.column for v in verdicts if v.mean is None]
    if missed or unknown:
        words = [f"missed: {', '.join(missed)}"] if missed else []
        words += [f"could not be judged: {', '.join(unknown)}"] if unknown else []
        needed = dict.fromkeys(name for column in unknown for name in MEASURE_OF[column].missing)
        raise BelowBarError(
            f"below the bar {bar}: {'; '.join(words)}", how_to_install(tuple(needed)) or None
        )
    if bar:
        console.note(f"the bar {bar} is passed")
