"""`hifigan export`: a model -> a file that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx file to write.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model file, a training run's folder, universal-v1 or ljspeech-v1. "
            "Default: universal-v1.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model as ONNX, for any runtime, any length and any batch.

    Input `mel` (batch, mels, frames), output `waveform` (batch, samples); rate and mel convention
    are in its metadata. The file is run and compared with the model before it takes its name.
    """
    from dataclasses import asdict

    from hifigan_cli.errors import UsageError
    from hifigan_cli.importers.model_lookup import locate_model, open_model
    from hifigan_cli.io.files import check_output
    from hifigan_cli.synthesis.onnx_export import export_onnx

    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out}: an ONNX file ends in .onnx", f"-o {out}.onnx")
    source = locate_model(model)
    check_output(out, force, source)
    content = open_model(model)
    exported = export_onnx(content, out)
    lines = [f"{out}: opset {exported.opset}, {exported.size_bytes / 1e6:.1f} MB"]
    lines += [
        f"  against the plain forward, {each.batch} x {each.frames} frames: "
        f"max difference {each.max_difference:.1e}, SNR {each.snr_db:.1f} dB"
        for each in exported.parity
    ]
    Console(json=json, quiet=quiet).result(
        "exported",
        "\n".join(lines),
        source=str(source),
        target=str(out),
        digest=content.digest,
        **asdict(exported),
    )
