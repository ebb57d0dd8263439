"""What `hifigan preprocess` says of its plan and of its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.cli.console import Console
    from hifigan_cli.data.preparation import Plan, Summary
    from hifigan_cli.runtime.sharding import Shard


def show_plan(console: Console, plan: Plan, out: Path, part: Shard) -> None:
    """Print what a run would do."""
    from dataclasses import asdict

    skipped = f", {plan.unreadable} unreadable" if plan.unreadable else ""
    skipped += f", {plan.absent} listed but absent" if plan.absent else ""
    state = {
        "new": "would be made",
        "unfinished": "holds an unfinished run, which would be continued",
        "finished": "is finished; it would be compared with the corpus",
        "replaced": "is finished; --force would prepare it anew",
    }[plan.state]
    text = (
        f"{_named(part)}{plan.files} files ({plan.hours:.2f} h{skipped})\n"
        f"about {plan.output_bytes / 1e6:.1f} MB, {plan.seconds:.0f} s with {plan.processes} "
        f"processes\n{out} {state}"
    )
    console.data("plan", text, out=str(out), shard=str(part), **asdict(plan))


def _named(part: Shard) -> str:
    return "" if part.whole else f"part {part}: "


def show_summary(console: Console, summary: Summary) -> None:
    """Print what was done, as a table or as one JSON object; of a part, that part as well."""
    if summary.state == "up to date":
        console.note(f"{_named(summary.part)}{summary.folder} is up to date")
    elif summary.continued_from:
        done = f"{summary.continued_from} files of an earlier run"
        console.note(f"{_named(summary.part)}continued after {done}")
    if not summary.part.whole and summary.own is not None:
        console.note(_part_line(summary))
    totals = summary.totals
    if totals and totals["split"] == "shared":
        console.warn("there is only one clip: it serves for training and for validation")
    if console.json:
        _emit(console, summary)
    elif totals and not console.quiet:
        console.stderr.print(_table(summary))
        if sum(totals["rejected"].values()):
            console.note(f"{summary.folder / 'rejected.jsonl'} says what was wrong with each")


def _part_line(summary: Summary) -> str:
    own = summary.own or {}
    rejected = sum(own["rejected"].values())
    done = f"{own['clips']} clips, {own['hours']:.2f} h, {rejected} left out"
    if summary.state == "prepared":
        end = "all parts are done, the index is written"
    else:
        waiting = ", ".join(f"{number}/{summary.part.count}" for number in summary.waiting)
        end = f"not finished yet: {waiting}; the one that ends last writes the index"
    return f"{_named(summary.part)}{done} in {summary.seconds:.1f} s; {end}"


def _emit(console: Console, summary: Summary) -> None:
    fields: dict[str, Any] = {
        "out": str(summary.folder),
        "state": summary.state,
        "shard": str(summary.part),
        "waiting": list(summary.waiting),
        "continued_from": summary.continued_from,
        "seconds": round(summary.seconds, 3),
        "digest": summary.digest,
        "own": summary.own,
    }
    console.emit("prepared", **fields, **summary.totals)


def _table(summary: Summary) -> Any:
    from rich.table import Table
    from rich.text import Text

    totals = summary.totals
    table = Table(show_header=False, box=None, pad_edge=False)
    for split in ("training", "validation"):
        part = totals[split]
        table.add_row(split, f"{part['clips']} clips, {part['hours']:.2f} h")
    table.add_row("split", totals["split"])
    rates = totals["source_rates_hz"].items()
    table.add_row("source rates", ", ".join(f"{rate} Hz: {count}" for rate, count in rates))
    peaks = totals["peak_dbfs"]
    peak_text = f"{peaks['min']:.1f} / {peaks['median']:.1f} / {peaks['max']:.1f} dBFS"
    table.add_row("peaks", f"{peak_text} (lowest, median, highest)")
    clipped = totals["clipped"]
    table.add_row("clipping", f"{clipped['samples']} samples in {clipped['clips']} clips")
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals["rejected"].items())
    table.add_row("left out", reasons or "none")
    done = "compared" if summary.state == "up to date" else "prepared"
    # A Text, because brackets in a path are no markup.
    where = f"{summary.folder}, {done} in {summary.seconds:.1f} s"
    table.add_row("folder", Text(where, overflow="fold"))
    return table
