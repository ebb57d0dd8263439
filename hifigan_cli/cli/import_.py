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
            readable=False, help="An official generator checkpoint: g_02500000, generator_v1 ..."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Its config.json. Default: the one beside it."),
    ] = None,
    discriminators: Annotated[
        Path | None,
        typer.Option("--discriminators", help="Its do_XXXXXXXX, to warm-start training with."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the model.")] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Convert an official HiFi-GAN checkpoint into a model file.

    Weight norm is folded, and a forward pass must agree before and after. Files are read as plain
    tensors: code in them never runs.
    """
    import hashlib

    from hifigan_cli.audio.files import check_output
    from hifigan_cli.errors import UsageError
    from hifigan_cli.interchange.official import import_official
    from hifigan_cli.models import write_model
    from hifigan_cli.models.tensorfile import check_readable

    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: a model file ends in .safetensors", f"-o {out}.safetensors")
    check_output(out, force, checkpoint)
    check_readable(checkpoint)
    with checkpoint.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    provenance = {"name": name or out.stem, "source": checkpoint.name, "sha256": sha256}
    model, error = import_official(checkpoint, config, discriminators, provenance)
    digest = write_model(out, model)
    Console(json=json, quiet=quiet).result(
        "imported",
        f"{out}: {provenance['name']}; folding changed a forward pass by {error:.1e}",
        source=str(checkpoint),
        target=str(out),
        digest=digest,
        folding_error=error,
        discriminators=bool(discriminators),
    )
