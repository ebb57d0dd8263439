"""`hifigan evaluate`: results against their recordings, as a table and as a page to listen to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console, check_page, new_table, write_page

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from hifigan_cli.evaluation import Report
    from hifigan_cli.evaluation.thresholds import ThresholdResult


def evaluate(
    reference: Annotated[
        Path, typer.Argument(readable=False, help="A recording, or a folder of recordings.")
    ],
    hypothesis: Annotated[
        Path,
        typer.Argument(readable=False, help="The result, or a folder with the same names in it."),
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
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            help="v1, v2, v3 or release: exit with 1 unless the means keep all its limits.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a row per clip.")] = None,
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
            "--workers", min=1, help="Processes. Default: one per core.", show_default=False
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how near results come to their recordings, over files or folders.

    Files belong together when their names agree in everything but the extension. Means come with
    95 % intervals over clips. Metrics whose package is not installed are named and left out; a
    threshold that needs them is not passed.
    """
    from hifigan_cli.evaluation import check_threshold
    from hifigan_cli.evaluation import evaluate as compare
    from hifigan_cli.evaluation.pairing import pair_files
    from hifigan_cli.evaluation.thresholds import limits_of
    from hifigan_cli.io.files import check_output, write_bytes
    from hifigan_cli.reports.evaluation import page_of_report

    console = Console(json=json, quiet=quiet)
    if threshold:
        limits_of(threshold)  # a mistyped name must not cost minutes
    if csv:
        check_output(csv, force)
    if html:
        check_page(html, force)
    with console.progress("clips", len(pair_files(reference, hypothesis).pairs)) as advance:
        report = compare(
            reference,
            hypothesis,
            metrics=[name.strip() for name in metrics.split(",")] if metrics else None,
            report=lambda done, _, name: advance(done, name),
            align=align,
            repair=repair,
            workers=workers,
        )
    results = check_threshold(report, threshold) if threshold else ()
    _print_notes(console, report)
    if console.json:
        for clip in report.clips:
            console.emit("clip", **clip.as_json())
    console.data("evaluation", _table(report, results), **report.as_json(threshold, results))
    if report.lag_samples:
        late = "late" if report.lag_samples > 0 else "early"
        console.note(f"results were {abs(report.lag_ms):.1f} ms {late} and were shifted by that")
    if csv:
        write_bytes(csv, report.as_csv().encode(errors="surrogateescape"))
        console.result("csv", f"{csv}: {len(report.clips)} rows", target=str(csv))
    if html:
        shown = min(html_clips, len(report.clips))
        page = page_of_report(report, html_clips, results)
        write_page(console, html, page, f"{shown} clips to hear, ", clips=shown)
    _conclude(console, report, threshold, results)


def _print_notes(console: Console, report: Report) -> None:
    """Name what is missing: packages, partners, clips that could not be read."""
    from hifigan_cli.evaluation.packages import how_to_install

    for clip in report.clips:
        for note in clip.notes:
            console.note(f"{clip.name}: {note}")
    if report.left_out:
        names = ", ".join(metric.name for metric in report.left_out)
        install = how_to_install(name for metric in report.left_out for name in metric.missing)
        console.warn(f"not measured: {names}; {install} installs what they need")
    for kind, paths in (
        ("no result for", report.unmatched_references),
        ("no recording for", report.unmatched_hypotheses),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            console.warn(f"{kind} {paths[0]}{more}")
    for name, error in report.failures:
        console.warn(f"{name} was left out: {error.message}")


def _table(report: Report, results: tuple[ThresholdResult, ...]) -> Table:
    """Draw a row per column: mean, interval, clips, and the threshold's limit with its result."""
    from hifigan_cli.evaluation.metrics import COLUMNS

    table = new_table(["metric"], ["mean", "95 % interval", "clips"])
    table.add_column("unit")
    if results:
        table.add_column("limit", justify="right")
        table.add_column("")
    limited = {result.column: result for result in results}
    for name in dict.fromkeys((*(column.name for column in report.columns), *limited)):
        column, summary = COLUMNS[name], report.summary(name)
        mean = interval = "-"
        if summary:
            mean = f"{summary.mean:.{column.digits}f}"
        if summary and summary.low is not None:
            interval = f"{summary.low:.{column.digits}f} to {summary.high:.{column.digits}f}"
        clips = str(summary.clips if summary else 0)
        result = limited.get(name)
        end = (result.limit, _verdict(result)) if result else ()
        table.add_row(column.title, mean, interval, clips, column.unit, *end)
    return table


def _verdict(result: ThresholdResult) -> Text:
    from rich.text import Text

    if result.mean is None:
        return Text("not measured", "yellow")
    return Text("ok", "green") if result.passed else Text("missed", "red")


def _conclude(
    console: Console, report: Report, threshold: str | None, results: tuple[ThresholdResult, ...]
) -> None:
    """Turn failures, and a threshold that was missed, into the exit code.

    Raises:
        BatchError: some clips could not be compared.
        BelowThresholdError: a mean misses its limit, or is not known.
    """
    from hifigan_cli.errors import BatchError, BelowThresholdError
    from hifigan_cli.evaluation.metrics import METRIC_OF
    from hifigan_cli.evaluation.packages import how_to_install
    from hifigan_cli.evaluation.thresholds import FEWEST_CLIPS

    if threshold and len(report.clips) < FEWEST_CLIPS:
        console.warn(f"{len(report.clips)} clips: a threshold needs at least {FEWEST_CLIPS}")
    if report.failures:
        total = len(report.clips) + len(report.failures)
        raise BatchError(f"{len(report.failures)} of {total} clips could not be compared")
    missed = [r.column for r in results if not r.passed and r.mean is not None]
    unknown = [r.column for r in results if r.mean is None]
    if missed or unknown:
        words = [f"missed: {', '.join(missed)}"] if missed else []
        words += [f"not measured: {', '.join(unknown)}"] if unknown else []
        install = how_to_install(name for column in unknown for name in METRIC_OF[column].missing)
        raise BelowThresholdError(
            f"below the threshold {threshold}: {'; '.join(words)}", install or None
        )
    if threshold:
        console.note(f"the threshold {threshold} is passed")
