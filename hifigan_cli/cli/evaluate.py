"""`hifigan evaluate`: compare generated audio with recordings, as a table and a listening page."""

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
        Path, typer.Argument(readable=False, help="Recording, or folder of recordings.")
    ],
    generated: Annotated[
        Path,
        typer.Argument(
            readable=False, help="Generated audio file, or folder of files with the same names."
        ),
    ],
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="A,B",
            help="Metrics: mel, log_magnitude, mcd, pesq, stoi, pitch, silence, high, distillmos, "
            "dnsmos. Default: all that are installed.",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            help="v1, v2, v3 or release: exit with 1 if a mean misses a limit of the threshold.",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write a CSV file with one row per clip.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a self-contained listening page.")
    ] = None,
    html_clips: Annotated[
        int,
        typer.Option(
            "--html-clips", min=1, help="Number of clips on that page, from worst to best."
        ),
    ] = 12,
    align: Annotated[
        bool, typer.Option(help="Compensate for a delay that all generated files share.")
    ] = True,
    repair: options.Repair = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Number of processes. Default: one per CPU.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare generated audio with the recordings, for files or folders.

    Files are paired if their names differ only in the extension. The means have 95 % confidence
    intervals over the clips. A metric whose package is not installed is skipped with a warning,
    and a threshold that needs it fails.
    """
    from hifigan_cli.evaluation import check_threshold
    from hifigan_cli.evaluation import evaluate as compare
    from hifigan_cli.evaluation.pairing import pair_files
    from hifigan_cli.evaluation.thresholds import threshold_limits
    from hifigan_cli.io.files import check_output, write_bytes
    from hifigan_cli.reports.evaluation import evaluation_page

    console = Console(json=json, quiet=quiet)
    if threshold:
        threshold_limits(threshold)  # reports a mistyped name before minutes of computation
    if csv:
        check_output(csv, force)
    if html:
        check_page(html, force)
    with console.progress("clips", len(pair_files(reference, generated).pairs)) as advance:
        report = compare(
            reference,
            generated,
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
        console.note(f"shifted the generated files, which were {abs(report.lag_ms):.1f} ms {late}")
    if csv:
        write_bytes(csv, report.as_csv().encode(errors="surrogateescape"))
        console.result("csv", f"{csv}: {len(report.clips)} rows", target=str(csv))
    if html:
        clips = min(html_clips, len(report.clips))
        page = evaluation_page(report, html_clips, results)
        write_page(console, html, page, f"{clips} clips, ", clips=clips)
    _check_result(console, report, threshold, results)


def _print_notes(console: Console, report: Report) -> None:
    """Print missing packages, unpaired files and clips that could not be read."""
    from hifigan_cli.evaluation.packages import install_command

    for clip in report.clips:
        for note in clip.notes:
            console.note(f"{clip.name}: {note}")
    if report.skipped_metrics:
        names = ", ".join(metric.name for metric in report.skipped_metrics)
        install = install_command(
            name for metric in report.skipped_metrics for name in metric.missing
        )
        console.warn(f"not measured: {names}; {install} installs the missing packages")
    for problem, paths in (
        ("no generated file for", report.unmatched_references),
        ("no recording for", report.unmatched_generated),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            console.warn(f"{problem} {paths[0]}{more}")
    for name, error in report.failures:
        console.warn(f"{name} is not compared: {error.message}")


def _table(report: Report, results: tuple[ThresholdResult, ...]) -> Table:
    """Return a table with one row per metric column: mean, interval, clips, limit and result."""
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
        limit = (result.limit, _result_text(result)) if result else ()
        table.add_row(column.title, mean, interval, clips, column.unit, *limit)
    return table


def _result_text(result: ThresholdResult) -> Text:
    from rich.text import Text

    if result.mean is None:
        return Text("not measured", "yellow")
    return Text("ok", "green") if result.passed else Text("missed", "red")


def _check_result(
    console: Console, report: Report, threshold: str | None, results: tuple[ThresholdResult, ...]
) -> None:
    """Raise an error if clips failed or the threshold is missed.

    Raises:
        BatchError: some clips could not be compared.
        BelowThresholdError: a mean misses its limit, or could not be measured.
    """
    from hifigan_cli.errors import BatchError, BelowThresholdError
    from hifigan_cli.evaluation.metrics import METRIC_BY_COLUMN
    from hifigan_cli.evaluation.packages import install_command
    from hifigan_cli.evaluation.thresholds import MIN_CLIPS

    if threshold and len(report.clips) < MIN_CLIPS:
        console.warn(f"{len(report.clips)} clips: a threshold needs at least {MIN_CLIPS}")
    if report.failures:
        total = len(report.clips) + len(report.failures)
        raise BatchError(f"{len(report.failures)} of {total} clips could not be compared")
    missed = [r.column for r in results if not r.passed and r.mean is not None]
    unmeasured = [r.column for r in results if r.mean is None]
    if missed or unmeasured:
        reasons = [f"missed: {', '.join(missed)}"] if missed else []
        reasons += [f"not measured: {', '.join(unmeasured)}"] if unmeasured else []
        install = install_command(
            name for column in unmeasured for name in METRIC_BY_COLUMN[column].missing
        )
        raise BelowThresholdError(
            f"did not pass the threshold {threshold}: {'; '.join(reasons)}",
            install or ("measure these metrics too" if unmeasured else None),
        )
    if threshold:
        console.note(f"passed the threshold {threshold}")
