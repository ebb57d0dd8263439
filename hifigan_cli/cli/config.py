"""`hifigan config`: a configuration for another sample rate and hop length, and the presets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console, new_table

# Written even where they are the preset's: the solver chose them.
_ALWAYS = ("upsample_rates", "upsample_kernel_sizes", "segment_size")

app = typer.Typer(no_args_is_help=True, help="Configurations for other rates and hops.")


@app.command("new")
def new(
    rate: Annotated[int, typer.Option("--rate", metavar="HZ", help="Of the recordings.")],
    hop: Annotated[
        int | None,
        typer.Option(
            "--hop",
            metavar="SAMPLES",
            help="Between mel frames; that of your text-to-speech model. "
            "Default: as the presets of that rate.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", "-p", help="The size: v1, v2 or v3.")] = "v1",
    sets: options.Sets = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The TOML file to write. Default: stdout.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find upsample rates and kernels for a rate and a hop, and say why.

    The result is a TOML file for --config of preprocess, train and mel. Each choice is explained in
    it, and on stderr. A hop that cannot be made is refused with the nearest that can.
    """
    import tomli_w

    from hifigan_cli.cli.pipes import PIPE
    from hifigan_cli.config.presets import PRESETS, design_for
    from hifigan_cli.config.resolve import overlay
    from hifigan_cli.config.solver import explain
    from hifigan_cli.io.files import check_output, write_bytes

    console = Console(json=json, quiet=quiet)
    out = None if out == PIPE else out
    if out is not None:
        check_output(out, force)
    config = overlay(design_for(preset, rate, hop), sets or ())
    base = PRESETS[preset].model_dump(mode="json")
    content = config.model_dump(mode="json")
    values = {"mel": content["mel"]} | {
        section: {
            key: value
            for key, value in content[section].items()
            if value != base[section][key] or key in _ALWAYS
        }
        for section in ("generator", "train")
    }
    reasons = list(explain(config, PRESETS[preset], preset))
    comments = "".join(f"# {reason}\n" for reason in reasons)
    text = f"{comments}\n{tomli_w.dumps({'preset': preset, **values})}"
    for reason in reasons:
        console.note(reason)
    if out is not None:
        write_bytes(out, text.encode())
        console.note(f"hifigan preprocess FOLDER --config {out} && hifigan train --config {out}")
    if json:
        path = str(out) if out else None
        console.emit("config", path=path, preset=preset, values=values, reasons=reasons)
    elif out is None:
        sys.stdout.write(text)


@app.command("presets")
def presets(json: options.Json = False) -> None:
    """List the presets: rate, hop, bands, upsample rates, and the work that each means."""
    from hifigan_cli.config.presets import NAMES, preset
    from hifigan_cli.config.solver import product, work_per_s

    numbers = ("rate Hz", "hop", "n_fft", "bands", "to Hz", "upsample rates", "work")
    table = new_table(("preset",), numbers)
    unit, rows = work_per_s(preset("v2")), []
    for name in NAMES:
        config = preset(name)
        mel, rates = config.mel, config.generator.upsample_rates
        work = work_per_s(config) / unit
        sizes = (mel.sample_rate, mel.hop_length, mel.n_fft, mel.n_mels, mel.top_hz)
        table.add_row(name, *(f"{size:g}" for size in sizes), product(rates), f"{work:.1f}")
        rows.append(
            {"preset": name, "mel": mel.model_dump(), "upsample_rates": rates, "work": work}
        )
    console = Console(json=json)
    console.note("work: multiplications for a second of speech, in units of v2")
    console.data("presets", table, presets=rows)
