"""`hifigan config`: create a configuration for a sample rate and hop length; list the presets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console, new_table
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Written even if they equal the preset's values, because the solver chose them.
_SOLVED_KEYS = ("upsample_rates", "upsample_kernel_sizes", "segment_size")

app = typer.Typer(
    no_args_is_help=True, help="Create configurations for other sample rates and hop lengths."
)


@app.command("new")
def new(
    sample_rate: Annotated[
        int | None,
        typer.Option(
            metavar="HZ",
            help="Sample rate of the recordings. Required without --config.",
            show_default=False,
        ),
    ] = None,
    hop_length: Annotated[
        int | None,
        typer.Option(
            metavar="SAMPLES",
            help="Samples between mel frames, as in your text-to-speech model. "
            "Default: that of the presets near this sample rate.",
            show_default=False,
        ),
    ] = None,
    config: options.ConfigFile = None,
    preset: options.Preset = None,
    overrides: options.Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output TOML file. Default: stdout.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a configuration for another sample rate and hop length, or convert a config.json.

    It chooses matching upsample rates and kernel sizes, and explains each choice in the file and
    on stderr. Use the TOML file as --config of preprocess, train and mel.
    """
    import tomli_w

    from hifigan_cli.cli.pipes import PIPE
    from hifigan_cli.io.files import check_output, write_bytes

    console = Console(json=json, quiet=quiet)
    out = None if out == PIPE else out
    if out is not None:
        check_output(out, force)
    if sample_rate is None and config is None:
        raise UsageError("the sample rate is missing", "add --sample-rate HZ, or --config FILE")
    values, reasons = _design(preset, config, sample_rate, hop_length, overrides or ())
    comments = "".join(f"# {reason}\n" for reason in reasons)
    text = f"{comments}\n{tomli_w.dumps(values)}"
    for reason in reasons:
        console.note(reason)
    if out is not None:
        write_bytes(out, text.encode())
        console.note(
            f"next: hifigan preprocess FOLDER --config {out} && hifigan train --config {out}"
        )
    if json:
        path, preset = str(out) if out else None, values.pop("preset")
        console.emit("config", path=path, preset=preset, values=values, reasons=reasons)
    elif out is None:
        sys.stdout.write(text)


def _design(
    preset: str | None,
    file: Path | None,
    sample_rate: int | None,
    hop_length: int | None,
    overrides: Sequence[str],
) -> tuple[dict[str, Any], list[str]]:
    """Return the values that differ from the preset, and the lines that explain them."""
    from hifigan_cli.config import preset as named_preset
    from hifigan_cli.config import resolve
    from hifigan_cli.config.presets import default_hop
    from hifigan_cli.config.resolve import with_overrides
    from hifigan_cli.config.solver import design, explain

    resolved = resolve(preset, file)
    base, config = named_preset(resolved.preset), resolved.config
    designed = sample_rate is not None or hop_length is not None
    if designed:
        if hop_length is None:
            hop_length = default_hop(sample_rate or config.mel.sample_rate)
        rate = config.mel.sample_rate if sample_rate is None else sample_rate
        config = design(config, rate, hop_length)
    config = with_overrides(config, overrides)
    if designed:
        reasons = list(explain(config, base, resolved.preset))
    else:
        reasons = [f"the values of {file} that differ from the preset {resolved.preset}"]
    content, usual = (each.model_dump(mode="json") for each in (config, base))
    values = {"preset": resolved.preset, "mel": content["mel"]} | {
        section: {
            key: value
            for key, value in content[section].items()
            if value != usual[section][key] or key in _SOLVED_KEYS
        }
        for section in ("generator", "train")
    }
    return values, reasons


@app.command("presets")
def presets(json: options.Json = False) -> None:
    """List the presets: sample rate, hop length, mel bands, upsample rates, multiplications."""
    from hifigan_cli.config.presets import NAMES, preset
    from hifigan_cli.config.solver import multiplications_per_s, product

    numbers = ("sample rate", "hop", "n_fft", "n_mels", "fmax", "upsample rates", "work")
    table = new_table(("preset",), numbers)
    unit, rows = multiplications_per_s(preset("v2")), []
    for name in NAMES:
        config = preset(name)
        mel, rates = config.mel, config.generator.upsample_rates
        work = multiplications_per_s(config) / unit
        sizes = (mel.sample_rate, mel.hop_length, mel.n_fft, mel.n_mels, mel.upper_edge_hz)
        table.add_row(name, *(f"{size:g}" for size in sizes), product(rates), f"{work:.1f}")
        rows.append(
            {"preset": name, "mel": mel.model_dump(), "upsample_rates": rates, "work": work}
        )
    console = Console(json=json)
    console.note("work: multiplications per second of speech, relative to v2")
    console.data("presets", table, presets=rows)
