"""`hifigan preprocess`: a corpus becomes data to train on."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.options import (
    ConfigFile,
    DryRun,
    Force,
    Json,
    Preset,
    Quiet,
    Sets,
    ShardOption,
)
from hifigan_cli.errors import InterruptedRunError
from hifigan_cli.runtime.sharding import choose_shard
from hifigan_cli.runtime.torchrun import wait_for_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.data.preparation import (
        PreparationPlan,
        PreparationProgress,
        PreparationSummary,
    )
    from hifigan_cli.runtime.sharding import Shard

_CONTINUES = "the same command continues after the last complete packed file"

SourceFolder = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help="LJSpeech-1.1, or any folder of recordings; subfolders too.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where the prepared data goes.")]
Mels = Annotated[
    Path | None,
    typer.Option(
        help="A folder of given mels for fine-tuning: for each recording STEM.npy, "
        "(mels, frames), natural logarithm.",
        metavar="FOLDER",
    ),
]
Trim = Annotated[bool, typer.Option("--trim", help="Cut silence at both ends; 50 ms stay.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes. Default: one a core.", show_default=False),
]
Validation = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE|COUNT",
        show_default=False,
        help="Validation clips, as 0.05, 5% or 150. Default: the official split of LJSpeech, "
        "elsewhere 5%, at least 1 and at most 150.",
    ),
]
MinLength = Annotated[
    float, typer.Option(min=0.0, metavar="SECONDS", help="Leave out clips that are shorter.")
]
ShardMb = Annotated[
    int,
    typer.Option(
        "--shard-mb", min=1, metavar="MIB", help="No packed file becomes larger than this."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Decides the split. Default: 1234.")]


def preprocess(
    source: SourceFolder,
    out: Out = Path("prepared"),
    mels: Mels = None,
    trim: Trim = False,
    validation: Validation = None,
    min_length: MinLength = 0.2,
    seed: Seed = None,
    preset: Preset = None,
    config: ConfigFile = None,
    sets: Sets = None,
    workers: Workers = None,
    shard: ShardOption = None,
    shard_mb: ShardMb = 1024,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a corpus into data to train on.

    Recordings are mixed to one channel, resampled to the rate of the configuration and packed into
    a few large files with an index. What is unfit is left out, by reason, and counted. Running the
    command again continues an interrupted run, and leaves a finished one untouched.

    Several processes or machines share the work with --shard 1/N ... N/N, or under torchrun. The
    one that ends last writes the index; a part that was killed is started again as it was.
    """
    import os

    from hifigan_cli.config import resolve
    from hifigan_cli.data import preparation

    console = Console(json=json, quiet=quiet)
    chosen = resolve(preset, config, os.environ, sets or (), {"seed": seed}).config
    options = preparation.PreparationOptions(
        mel=chosen.mel,
        mels=mels,
        trim=trim,
        min_length_s=min_length,
        validation=preparation.parse_validation(validation),
        seed=chosen.train.seed,
        shard_bytes=shard_mb * 2**20,
        workers=workers,
        force=force,
    )
    part = choose_shard(shard, os.environ)
    if dry_run:
        _show_plan(console, preparation.plan(source, out, options, part), out, part)
        return
    with wait_for_all(part):
        with _progress(console) as report:
            summary = preparation.preprocess(source, out, options, report, part)
        _show_summary(console, summary)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[PreparationProgress], None]]:
    """Yield a function that shows the progress; an interrupted run explains how to go on."""
    with ExitStack() as stack:

        @cache
        def bar(stage: str, total: int) -> Callable[[int, str], None]:
            return stack.enter_context(console.progress(stage, total))

        try:
            yield lambda now: bar(now.stage, now.total)(now.done, now.current)
        except InterruptedRunError as error:
            error.hint = _CONTINUES
            raise


def _show_plan(console: Console, plan: PreparationPlan, out: Path, shard: Shard) -> None:
    """Print what a run would do."""
    skipped = f", {plan.unreadable} unreadable" if plan.unreadable else ""
    skipped += f", {plan.absent} listed but absent" if plan.absent else ""
    state = {
        "new": "would be created",
        "unfinished": "holds an unfinished run, which would be continued",
        "finished": "is finished; it would be compared with the corpus",
        "replaced": "is finished; --force would prepare it again",
    }[plan.state]
    text = (
        f"{_named(shard)}{plan.files} files ({plan.hours:.2f} h{skipped})\n"
        f"about {plan.output_bytes / 1e6:.1f} MB, {plan.seconds:.0f} s with {plan.processes} "
        f"processes\n{out} {state}"
    )
    console.data("plan", text, out=str(out), shard=str(shard), **asdict(plan))


def _named(shard: Shard) -> str:
    return "" if shard.whole else f"part {shard}: "


def _show_summary(console: Console, summary: PreparationSummary) -> None:
    """Print what was done, as a table or as one JSON object; of a part, that part as well."""
    part = _named(summary.shard)
    if summary.state == "up to date":
        console.note(f"{part}{summary.folder} is up to date")
    elif summary.continued_from:
        console.note(f"{part}continued after {summary.continued_from} files of an earlier run")
    if part and summary.own is not None:
        console.note(part + _part_line(summary, summary.own))
    totals = summary.totals
    if totals and totals["split"] == "shared":
        console.warn("there is only one clip: it serves for training and for validation")
    if console.json:
        console.emit(
            "prepared",
            out=str(summary.folder),
            state=summary.state,
            shard=str(summary.shard),
            waiting=list(summary.waiting),
            continued_from=summary.continued_from,
            seconds=round(summary.seconds, 3),
            digest=summary.digest,
            own=summary.own,
            **totals,
        )
    elif totals and not console.quiet:
        console.stderr.print(_table(summary))
        if sum(totals["rejected"].values()):
            console.note(f"{summary.folder / 'rejected.jsonl'} lists what was wrong with each")


def _part_line(summary: PreparationSummary, own: dict[str, Any]) -> str:
    rejected = sum(own["rejected"].values())
    done = f"{own['clips']} clips, {own['hours']:.2f} h, {rejected} left out"
    if summary.state == "prepared":
        end = "all parts are done, the index is written"
    else:
        waiting = ", ".join(f"{number}/{summary.shard.count}" for number in summary.waiting)
        end = f"not finished yet: {waiting}; the one that ends last writes the index"
    return f"{done} in {summary.seconds:.1f} s; {end}"


def _table(summary: PreparationSummary) -> Any:
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
