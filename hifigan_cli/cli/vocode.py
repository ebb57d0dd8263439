"""`hifigan vocode`: mel files -> speech."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console
from hifigan_cli.runtime.threads import use_one_blas_thread


def _complete_scale(incomplete: str) -> list[str]:
    """Return the mel scales that start with `incomplete`, for shell completion."""
    from hifigan_cli.synthesis.input_mel import MEL_AS_CHOICES

    return [name for name in MEL_AS_CHOICES if name.startswith(incomplete)]


def vocode(
    mels: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            help="Mel files (.npy .npz .pt .safetensors), folder, or - for stdin.",
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
        bool, typer.Option("--transpose", help="Read the mel files as (frames, n_mels).")
    ] = False,
    mel_as: Annotated[
        str | None,
        typer.Option(
            "--mel-as",
            metavar="SCALE",
            help="Scale of the mel files, which is converted to the model's: ln, log10, log2, db, "
            "magnitude, ln-power, log10-power, db-power, power; auto detects it if it is "
            "unambiguous.",
            show_default=False,
            autocompletion=_complete_scale,
        ),
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Accept mels that seem to have another scale.")
    ] = False,
    raw: options.Raw = False,
    chunk: options.Chunk = 0,
    shard: options.ShardOption = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Synthesize speech from mel spectrograms.

    A mel is an array (n_mels, frames) with the natural logarithm of mel magnitudes, as `hifigan
    mel` writes it. A mel with another scale is rejected; --mel-as converts it.

    Long mels are synthesized in chunks with constant memory; the samples are the same as without
    chunks. On stdin, frames may arrive over time as raw float32 or as .npy blocks, and the samples
    are written as soon as they are ready.
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
