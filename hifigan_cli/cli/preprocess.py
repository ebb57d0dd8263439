"""`hifigan preprocess`: corpus -> prepared training data."""

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
    Overrides,
    Preset,
    Quiet,
    ShardOption,
)
from hifigan_cli.errors import InterruptedRunError
from hifigan_cli.runtime.sharding import resolve_shard
from hifigan_cli.runtime.torchrun import wait_for_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.data.preparation import (
        PreparationPlan,
        PreparationProgress,
        PreparationSummary,
    )
    from hifigan_cli.runtime.sharding import Shard

_RESUME_HINT = "run the same command again to continue after the last complete packed file"

SourceFolder = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help="LJSpeech-1.1, or any folder of recordings, including subfolders.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Output folder for the prepared data.")]
Mels = Annotated[
    Path | None,
    typer.Option(
        help="Folder of mel files for fine-tuning: one STEM.npy for each recording, "
        "(n_mels, frames), natural logarithm.",
        metavar="FOLDER",
    ),
]
Trim = Annotated[bool, typer.Option("--trim", help="Trim silence at both ends, leaving 50 ms.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Number of processes. Default: one per CPU.", show_default=False),
]
Validation = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE|COUNT",
        show_default=False,
        help="Validation clips, as 0.05, 5% or 150. Default: the official split for LJSpeech, "
        "otherwise 5%, at least 1 and at most 150 clips.",
    ),
]
MinLength = Annotated[
    float, typer.Option(min=0.0, metavar="SECONDS", help="Reject clips that are shorter.")
]
MaxFileMb = Annotated[
    int,
    typer.Option("--max-file-mb", min=1, metavar="MIB", help="Maximum size of a packed file."),
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Random seed of the validation split. Default: 1234.")
]


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
    overrides: Overrides = None,
    workers: Workers = None,
    shard: ShardOption = None,
    max_file_mb: MaxFileMb = 1024,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prepare a corpus for training.

    Recordings are mixed to mono, resampled to the configured sample rate and packed into a few
    large files with an index. Unusable files are rejected, and the summary counts them by reason.
    Run the same command again to continue an interrupted run; a finished one stays as it is.

    Several processes or machines can share the work with --shard 1/N ... N/N, or under torchrun.
    The last shard to finish writes the index. Restart a killed shard with the same command.
    """
    import os

    from hifigan_cli.config import resolve
    from hifigan_cli.data import preparation

    console = Console(json=json, quiet=quiet)
    resolved = resolve(preset, config, os.environ, overrides or (), {"seed": seed}).config
    options = preparation.PreparationOptions(
        mel=resolved.mel,
        mels=mels,
        trim=trim,
        min_length_s=min_length,
        validation=preparation.parse_validation(validation),
        seed=resolved.train.seed,
        max_file_bytes=max_file_mb * 2**20,
        workers=workers,
        force=force,
    )
    work = resolve_shard(shard, os.environ)
    if dry_run:
        _print_plan(console, preparation.plan(source, out, options, work), out, work)
        return
    with wait_for_all(work):
        with _progress(console) as report:
            summary = preparation.preprocess(source, out, options, report, work)
        _print_summary(console, summary)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[PreparationProgress], None]]:
    """Yield a function that shows the progress; add a hint if the run is interrupted."""
    with ExitStack() as stack:

        @cache
        def bar(stage: str, total: int) -> Callable[[int, str], None]:
            return stack.enter_context(console.progress(stage, total))

        try:
            yield lambda update: bar(update.stage, update.total)(update.done, update.current)
        except InterruptedRunError as error:
            error.hint = _RESUME_HINT
            raise


def _print_plan(console: Console, plan: PreparationPlan, out: Path, shard: Shard) -> None:
    """Print the plan of a run."""
    skipped = f", {plan.unreadable} unreadable" if plan.unreadable else ""
    skipped += f", {plan.missing} listed but missing" if plan.missing else ""
    state = {
        "new": "would be created",
        "unfinished": "contains an unfinished run, which would be continued",
        "finished": "is finished and would be compared with the corpus",
        "replaced": "is finished and would be prepared again because of --force",
    }[plan.state]
    text = (
        f"{_shard_prefix(shard)}{plan.files} files ({plan.hours:.2f} h{skipped})\n"
        f"about {plan.output_bytes / 1e6:.1f} MB, {plan.estimated_s:.0f} s with {plan.processes} "
        f"processes\n{out} {state}"
    )
    console.data("plan", text, out=str(out), shard=str(shard), **asdict(plan))


def _shard_prefix(shard: Shard) -> str:
    return "" if shard.covers_all else f"shard {shard}: "


def _print_summary(console: Console, summary: PreparationSummary) -> None:
    """Print the summary of a run, as a table or as one JSON object."""
    prefix = _shard_prefix(summary.shard)
    if summary.state == "up to date":
        console.note(f"{prefix}{summary.folder} is up to date")
    elif summary.resumed_files:
        console.note(f"{prefix}continued after {summary.resumed_files} files of an earlier run")
    if prefix and summary.shard_totals is not None:
        console.note(prefix + _shard_line(summary, summary.shard_totals))
    totals = summary.totals
    if totals and totals["split"] == "shared":
        console.warn("there is only one clip, so training and validation both use it")
    if console.json:
        console.emit(
            "prepared",
            out=str(summary.folder),
            state=summary.state,
            shard=str(summary.shard),
            unfinished_shards=list(summary.unfinished_shards),
            resumed_files=summary.resumed_files,
            elapsed_s=round(summary.elapsed_s, 3),
            digest=summary.digest,
            shard_totals=summary.shard_totals,
            **totals,
        )
    elif totals and not console.quiet:
        console.stderr.print(_table(summary))
        if sum(totals["rejected"].values()):
            console.note(f"{summary.folder / 'rejected.jsonl'} lists the rejected files")


def _shard_line(summary: PreparationSummary, shard_totals: dict[str, Any]) -> str:
    rejected = sum(shard_totals["rejected"].values())
    done = f"{shard_totals['clips']} clips, {shard_totals['hours']:.2f} h, {rejected} rejected"
    if summary.state == "prepared":
        status = "all shards are finished and the index is written"
    else:
        count = summary.shard.count
        unfinished = ", ".join(f"{number}/{count}" for number in summary.unfinished_shards)
        status = f"unfinished shards: {unfinished}; the last one to finish writes the index"
    return f"{done} in {summary.elapsed_s:.1f} s; {status}"


def _table(summary: PreparationSummary) -> Any:
    from rich.table import Table
    from rich.text import Text

    totals = summary.totals
    table = Table(show_header=False, box=None, pad_edge=False)
    for split in ("training", "validation"):
        table.add_row(split, f"{totals[split]['clips']} clips, {totals[split]['hours']:.2f} h")
    table.add_row("split", totals["split"])
    rates = totals["source_rates_hz"].items()
    table.add_row("sample rates", ", ".join(f"{rate} Hz: {count}" for rate, count in rates))
    peaks = totals["peak_dbfs"]
    peak_text = f"{peaks['min']:.1f} / {peaks['median']:.1f} / {peaks['max']:.1f} dBFS"
    table.add_row("peaks", f"{peak_text} (lowest, median, highest)")
    clipped = totals["clipped"]
    table.add_row("clipping", f"{clipped['samples']} samples in {clipped['clips']} clips")
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals["rejected"].items())
    table.add_row("rejected", reasons or "none")
    action = "compared" if summary.state == "up to date" else "prepared"
    folder = f"{summary.folder}, {action} in {summary.elapsed_s:.1f} s"
    table.add_row("folder", Text(folder, overflow="fold"))  # brackets in a Text are not markup
    return table
