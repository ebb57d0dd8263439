"""`hifigan import`: checkpoints of other tools -> one self-describing model file."""

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
            help="A generator: g_02500000, generator_v1, model.nemo, generator.ckpt ...",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="Its config.json, config.yml or hyperparams.yaml. Default: beside it."
        ),
    ] = None,
    stats: Annotated[
        Path | None,
        typer.Option(
            "--stats", help="Mean and scale of its mel, if it has any. Default: beside it."
        ),
    ] = None,
    ema: Annotated[
        bool, typer.Option("--ema", help="Take the averaged weights, where there are any.")
    ] = False,
    discriminators: Annotated[
        Path | None,
        typer.Option("--discriminators", help="Its do_XXXXXXXX, to warm-start training with."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the model.")] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Convert a HiFi-GAN of another tool into a model file.

    Known are: the official code and all that kept its format, NVIDIA DeepLearningExamples, NeMo,
    SpeechBrain, ParallelWaveGAN, ESPnet joint models, Transformers (SpeechT5HifiGan), Coqui TTS,
    bshall, EveryVoice. The file itself tells which it is. Its mel goes along: resynth, mel and
    vocode follow it.

    Weight norm is folded, and a forward pass must agree before and after. Files are read as plain
    tensors, in a process of their own: code in them never runs.
    """
    import hashlib

    from hifigan_cli.errors import UsageError
    from hifigan_cli.importers.importing import import_checkpoint
    from hifigan_cli.io.files import check_output
    from hifigan_cli.io.tensor_file import check_readable
    from hifigan_cli.models import write_model

    console = Console(json=json, quiet=quiet)
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: a model file ends in .safetensors", f"-o {out}.safetensors")
    check_output(out, force, checkpoint)
    check_readable(checkpoint)
    with checkpoint.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    provenance = {"name": name or out.stem, "source": checkpoint.name, "sha256": sha256}
    found = import_checkpoint(
        checkpoint,
        config,
        stats=stats,
        discriminators=discriminators,
        average=ema,
        provenance=provenance,
    )
    for note in found.notes:
        console.note(note)
    digest = write_model(out, found.model)
    console.result(
        "imported",
        f"{out}: {provenance['name']} ({found.family}); "
        f"folding changed a forward pass by {found.folding_error:.1e}",
        source=str(checkpoint),
        target=str(out),
        family=found.family,
        digest=digest,
        folding_error=found.folding_error,
        discriminators=bool(discriminators),
        notes=list(found.notes),
    )
