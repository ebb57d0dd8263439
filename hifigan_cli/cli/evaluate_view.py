"""What `hifigan evaluate` prints: a table of means, and what the user should know about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from hifigan_cli.cli.console import Console
    from hifigan_cli.evaluation import Report
    from hifigan_cli.evaluation.bars import Verdict


def say_what_to_know(console: Console, report: Report) -> None:
    """Name what is missing: packages, partners, clips that could not be read."""
    from hifigan_cli.evaluation.metrics.packages import how_to_install

    for clip in report.clips:
        for note in clip.notes:
            console.note(f"{clip.name}: {note}")
    if report.left_out:
        missing = tuple(dict.fromkeys(name for m in report.left_out for name in m.missing))
        names = ", ".join(measure.name for measure in report.left_out)
        console.warn(f"not measured: {names}; {how_to_install(missing)} brings them")
    for kind, paths in (
        ("no result for", report.lonely_references),
        ("no recording for", report.lonely_hypotheses),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            console.warn(f"{kind} {paths[0]}{more}")
    for name, error in report.failures:
        console.warn(f"{name} was left out: {error.message}")


def print_report(
    console: Console, report: Report, bar: str | None, verdicts: tuple[Verdict, ...]
) -> None:
    """Print the means on stdout; with --json an object a clip before them."""
    from hifigan_cli.evaluation.tables import clip_object, report_object

    if console.json:
        for clip in report.clips:
            console.emit("clip", **clip_object(clip))
    console.data("evaluation", _table(report, verdicts), **report_object(report, bar, verdicts))
    if report.lag_samples:
        late = "late" if report.lag_samples > 0 else "early"
        console.note(f"results were {abs(report.lag_ms):.1f} ms {late} and were shifted by that")


def _table(report: Report, verdicts: tuple[Verdict, ...]) -> object:
    """Draw a row a figure: mean, interval, clips, and the bar's limit with its verdict."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    for head in ("mean", "95 % interval", "clips"):
        table.add_column(head, justify="right")
    table.add_column("unit")
    if verdicts:
        table.add_column("bar", justify="right")
        table.add_column("")
    judged = {verdict.limit.column: verdict for verdict in verdicts}
    for name, cells in _rows(report, judged):
        verdict = judged.get(name)
        end = (str(verdict.limit), _word(verdict)) if verdict else ("", "")
        table.add_row(*cells, *(end if verdicts else ()))
    return table


def _rows(report: Report, judged: dict[str, Verdict]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name and the cells of each measured figure, then of those that a bar misses."""
    from hifigan_cli.evaluation.measures import COLUMNS

    rows: list[tuple[str, tuple[str, ...]]] = []
    for column in report.columns:
        s, d = report.summary(column.name), column.digits
        mean = "-" if s is None else f"{s.mean:.{d}f}"
        known = s is not None and s.low is not None
        interval = f"{s.low:.{d}f} to {s.high:.{d}f}" if s is not None and known else "-"
        count = str(s.clips if s else 0)
        rows.append((column.name, (column.title, mean, interval, count, column.unit)))
    measured = {name for name, _ in rows}
    rows += [(n, (COLUMNS[n].title, "-", "-", "0", "")) for n in judged if n not in measured]
    return rows


def _word(verdict: Verdict) -> Text:
    from rich.text import Text

    if verdict.mean is None:
        return Text("not judged", "yellow")
    return Text("ok", "green") if verdict.passed else Text("missed", "red")
