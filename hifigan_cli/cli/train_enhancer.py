"""`hifigan train-enhancer`: clean speech, noises and RIRs -> enhancer for `resynth`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.enhancement.training import EnhancerTrainOptions


def train_enhancer(
    noises: Annotated[Path, typer.Option("--noises", help="Folder of noise recordings.")],
    rirs: Annotated[Path, typer.Option("--rirs", help="Folder of room impulse responses.")],
    prepared: Annotated[
        Path, typer.Argument(help="Folder of clean speech written by `hifigan preprocess`.")
    ] = Path("prepared"),
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file (TOML).")
    ] = None,
    overrides: options.Overrides = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Training run folder.")] = Path(
        "runs/enhancer"
    ),
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=0, help="Number of processes that render pairs (0 = one per CPU)."
        ),
    ] = 0,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            "--force",
            "-f",
            help="Start from scratch; an existing run is renamed to RUN.1, RUN.2 ..., and its "
            "rendered pairs are reused.",
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train the network that enhances mels before the vocoder.

    The command first renders pairs of clean and degraded speech, then it trains on them. Every
    eighth noise and room impulse response is used for validation only. Run the same command again
    to continue. Use the result with `hifigan resynth --enhancer RUN/enhancer.safetensors`.
    """
    from hifigan_cli.cli.train_view import training_view
    from hifigan_cli.config import MelConfig
    from hifigan_cli.config.resolve import resolve_sections
    from hifigan_cli.enhancement.augmentation.pairs_file import PairSources
    from hifigan_cli.enhancement.config import EnhancerRunConfig
    from hifigan_cli.enhancement.training import EnhancerTrainOptions
    from hifigan_cli.enhancement.training import train_enhancer as run
    from hifigan_cli.runtime.devices import resolve_device
    from hifigan_cli.runtime.threads import available_cpus

    console = Console(json=json, quiet=quiet)
    option_values = {"training.steps": steps, "training.seed": seed}
    run_config = resolve_sections(EnhancerRunConfig, config, overrides or (), option_values)
    train_options = EnhancerTrainOptions(
        sources=PairSources(prepared, noises, rirs, MelConfig(), run_config),
        out=out,
        device=resolve_device(options.device_name(device, gpu)),
        workers=workers or available_cpus(),
        fresh=fresh,
    )
    if dry_run:
        _dry_run(train_options, console)
        return
    with training_view(console) as report:
        finished = run(train_options, report)
    console.note(
        f"use it with `hifigan resynth IN -o OUT --enhancer {finished.model}`; "
        f"you can remove {out / 'pairs'}"
    )


def _dry_run(train_options: EnhancerTrainOptions, console: Console) -> None:
    from hifigan_cli.cli.train_view import print_plan
    from hifigan_cli.enhancement.training import estimate_enhancer

    plan = estimate_enhancer(train_options)
    training = train_options.sources.run.training
    print_plan(
        console,
        plan,
        train_options.device,
        f"{plan.run}: {plan.steps:,} steps on {train_options.device}, "
        f"the last {training.adversarial_steps:,} with a discriminator; "
        f"{plan.parameters:,} parameters",
        f"{plan.clips} clips, {plan.noises} noises, {plan.rirs} room impulse responses; "
        f"{plan.pairs:,} pairs to render, {plan.pair_bytes / 1e9:.1f} GB",
    )
