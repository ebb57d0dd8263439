"""`hifigan import`: checkpoint of another toolkit -> model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console


def import_model(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            readable=False,
            help="Generator checkpoint: g_02500000, generator_v1, model.nemo, generator.ckpt ...",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output .safetensors file.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration of the checkpoint: config.json, config.yml or hyperparams.yaml. "
            "Default: the one next to the checkpoint.",
        ),
    ] = None,
    stats: Annotated[
        Path | None,
        typer.Option(
            "--stats",
            help="Mean and scale that normalize the mel. Default: the file next to the checkpoint, "
            "if there is one.",
        ),
    ] = None,
    ema: Annotated[
        bool, typer.Option("--ema", help="Use the EMA weights, if the checkpoint has them.")
    ] = False,
    discriminators: Annotated[
        Path | None,
        typer.Option(
            "--discriminators",
            help="Discriminator checkpoint (do_XXXXXXXX), for warm-starting a training run.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the model. Default: the output file's name."),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Convert a HiFi-GAN checkpoint of another toolkit into a model file.

    Supported are the official code and everything that uses its format, NVIDIA
    DeepLearningExamples, NeMo, SpeechBrain, ParallelWaveGAN, ESPnet joint models, Transformers
    (SpeechT5HifiGan), Coqui TTS, bshall and EveryVoice. The format is detected from the file. The
    model file contains the mel convention, which resynth, mel and vocode then use.

    Weight norm is removed, and the forward pass must agree before and after. The checkpoint is
    read as plain tensors in a separate process, so code in it never runs.
    """
    import hashlib

    from hifigan_cli.errors import UsageError
    from hifigan_cli.importers.importing import import_checkpoint
    from hifigan_cli.io.files import check_output
    from hifigan_cli.io.tensor_file import check_readable
    from hifigan_cli.models import write_model

    console = Console(json=json, quiet=quiet)
    if out.suffix != ".safetensors":
        raise UsageError(
            f"{out}: a model file needs the extension .safetensors", f"use -o {out}.safetensors"
        )
    check_output(out, force, checkpoint)
    check_readable(checkpoint)
    with checkpoint.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    provenance = {"name": name or out.stem, "source": checkpoint.name, "sha256": sha256}
    imported = import_checkpoint(
        checkpoint,
        config,
        stats=stats,
        discriminators=discriminators,
        ema=ema,
        provenance=provenance,
    )
    for note in imported.notes:
        console.note(note)
    digest, mel = write_model(out, imported.model), imported.model.mel
    console.result(
        "imported",
        f"{out}: {imported.family} format, {mel.sample_rate} Hz, hop length {mel.hop_length}, "
        f"{mel.n_mels} mel bands; use it with --model {out}",
        source=str(checkpoint),
        target=str(out),
        family=imported.family,
        digest=digest,
        folding_error=imported.folding_error,
        discriminators=bool(discriminators),
        notes=list(imported.notes),
    )
