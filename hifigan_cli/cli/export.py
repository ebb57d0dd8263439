"""`hifigan export`: model -> ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output .onnx file.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="Model file, training run folder, universal-v1 or ljspeech-v1. "
            "Default: universal-v1.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Export a model to ONNX, for any ONNX runtime, length and batch size.

    The input is `mel` (batch, n_mels, frames), the output is `waveform` (batch, samples). The
    metadata contains the sample rate and the mel convention. The exported model is run and compared
    with the original before the file is written.
    """
    from dataclasses import asdict

    from hifigan_cli.errors import UsageError
    from hifigan_cli.importers.model_lookup import locate_model, open_model
    from hifigan_cli.io.files import check_output
    from hifigan_cli.synthesis.onnx_export import export_onnx

    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out}: an ONNX file needs the extension .onnx", f"use -o {out}.onnx")
    source = locate_model(model)
    check_output(out, force, source)
    content = open_model(model)
    exported = export_onnx(content, out)
    lines = [f"{out}: opset {exported.opset}, {exported.size_bytes / 1e6:.1f} MB"]
    lines += [
        f"  compared with the PyTorch forward pass, {parity.batch} x {parity.frames} frames: "
        f"max difference {parity.max_difference:.1e}, SNR {parity.snr_db:.1f} dB"
        for parity in exported.parity
    ]
    Console(json=json, quiet=quiet).result(
        "exported",
        "\n".join(lines),
        source=str(source),
        target=str(out),
        digest=content.digest,
        **asdict(exported),
    )
