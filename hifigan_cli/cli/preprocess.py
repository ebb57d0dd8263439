"""`hifigan preprocess`: a corpus becomes data to train on."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from hifigan_cli.errors import InterruptedRunError, UsageError
from hifigan_cli.runtime.sharding import choose_shard
from hifigan_cli.runtime.torchrun import wait_for_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.data.preparation import Options, Progress, Summary
    from hifigan_cli.runtime.sharding import Shard

_CONTINUES = "the same command continues where it stopped"

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

    from hifigan_cli.cli.preprocess_view import show_plan, show_summary
    from hifigan_cli.config import resolve
    from hifigan_cli.data.preparation import Options, plan
    from hifigan_cli.data.preparation import preprocess as prepare

    console = Console(json=json, quiet=quiet)
    chosen = resolve(preset, config, os.environ, sets or (), {"seed": seed}).config
    options = Options(
        mel=chosen.mel,
        mels=_folder(mels),
        trim=trim,
        min_length_s=min_length,
        validation=parse_validation(validation),
        seed=chosen.train.seed,
        shard_bytes=shard_mb * 2**20,
        workers=workers,
        force=force,
    )
    part = choose_shard(shard, os.environ)
    if dry_run:
        show_plan(console, plan(source, out, options, part), out, part)
        return
    with wait_for_all(part):
        show_summary(console, _run(console, prepare, source, out, options, part))


def parse_validation(text: str | None) -> float | int | None:
    """Read a share (0.05, 5%) or a count (150) of validation clips.

    Raises:
        UsageError: it is neither.

    >>> parse_validation("5%"), parse_validation("0.1"), parse_validation("150")
    (0.05, 0.1, 150)
    """
    if text is None:
        return None
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / 100 if text.strip().endswith("%") else float(number)
    except ValueError:
        value = 0.0
    if 0 < value < 1:
        return value
    if value >= 1 and number.isdecimal() and number == text.strip():
        return int(number)
    raise UsageError(
        f"--validation {text!r} is neither a share nor a count", "write 0.05, 5% or 150"
    )


def _folder(mels: Path | None) -> Path | None:
    from hifigan_cli.io.files import is_folder

    if mels is not None and not is_folder(mels):
        raise UsageError(f"--mels {mels} is not a folder", "give the folder that holds STEM.npy")
    return mels


def _run(
    console: Console,
    prepare: Callable[[Path, Path, Options, Callable[[Progress], None], Shard], Summary],
    source: Path,
    out: Path,
    options: Options,
    part: Shard,
) -> Summary:
    """Prepare under a progress display; an interrupted run says how to go on."""
    bars: dict[str, Callable[[int, str], None]] = {}
    with ExitStack() as stack:

        def report(progress: Progress) -> None:
            """Move the bar of a stage, which begins with the first that is heard of it."""
            if progress.stage not in bars:
                bars[progress.stage] = stack.enter_context(
                    console.progress(progress.stage, progress.total)
                )
            bars[progress.stage](progress.done, progress.current)

        try:
            return prepare(source, out, options, report, part)
        except KeyboardInterrupt as error:
            raise InterruptedRunError("interrupted", signal.SIGINT, _CONTINUES) from error
        except InterruptedRunError as error:
            error.hint = _CONTINUES
            raise
