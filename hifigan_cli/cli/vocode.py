"""`hifigan vocode`: mel files -> speech."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console
from hifigan_cli.runtime.threads import use_one_blas_thread


def _scales(incomplete: str) -> list[str]:
    """Offer the shell the scales that begin with what is typed."""
    from hifigan_cli.synthesis.input_mel import MEL_AS

    return [name for name in MEL_AS if name.startswith(incomplete)]


def vocode(
    mels: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            help="Mel files (.npy .npz .pt .safetensors), a folder, or - for stdin.",
        ),
    ],
    out: options.Out,
    model: options.Model = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    engine: options.Engine = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="The files are (frames, mels).")
    ] = False,
    mel_as: Annotated[
        str | None,
        typer.Option(
            "--mel-as",
            metavar="SCALE",
            help="What the values are: ln, log10, log2, db, magnitude, ln-power, log10-power, "
            "db-power, power; auto recognizes the clear ones. Converted to the model's.",
            show_default=False,
            autocompletion=_scales,
        ),
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Take mels whose values look like another kind.")
    ] = False,
    raw: options.Raw = False,
    chunk: options.Chunk = 0,
    shard: options.ShardOption = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn mel spectrograms into speech.

    A mel is an array (mels, frames) of the natural log of mel magnitudes, as `hifigan mel` writes
    it. One of another kind is refused, with what it looks like; --mel-as converts it.

    Long mels are synthesised in chunks, in flat memory, with the samples of the whole. On stdin
    frames may arrive over time, as bare float32 or as .npy blocks; samples go out as they come.
    """
    use_one_blas_thread()
    from hifigan_cli.cli.synthesis_view import run_synthesis
    from hifigan_cli.synthesis.mel_synthesis import MelSynthesis

    run_synthesis(
        partial(MelSynthesis, mel_as=mel_as, transpose=transpose, check=not no_check),
        options.synthesis_options(
            *(model, device, gpu, engine, precision, threads),
            raw=raw,
            chunk=chunk,
            shard=shard,
            force=force,
        ),
        mels,
        out,
        Console(json=json, quiet=quiet),
        dry_run=dry_run,
    )
