"""`hifigan train-enhancer`: prepared speech, noises and rooms -> an enhancer for `resynth`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.enhancement.training import EnhancerTrainOptions


def train_enhancer(
    noises: Annotated[Path, typer.Option("--noises", help="A folder of noise recordings.")],
    rirs: Annotated[Path, typer.Option("--rirs", help="A folder of room responses.")],
    prepared: Annotated[
        Path, typer.Argument(help="Clean speech: the folder that `hifigan preprocess` made.")
    ] = Path("prepared"),
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")] = Path(
        "runs/enhancer"
    ),
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that render pairs; 0: one a core.")
    ] = 0,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            "--force",
            "-f",
            help="Start over; an old run there becomes RUN.1, RUN.2 ... The pairs stay.",
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train the network that cleans mels in front of the vocoder.

    Pairs of clean and damaged speech are rendered once, with every eighth noise and room kept for
    validation; then it trains. The same command continues. RUN/enhancer.safetensors is what
    `hifigan resynth --enhancer` takes.
    """
    from hifigan_cli.cli.train_view import training_view
    from hifigan_cli.config import MelConfig
    from hifigan_cli.config.resolve import resolve_sections
    from hifigan_cli.enhancement.augmentation.pairs_file import Sources
    from hifigan_cli.enhancement.config import EnhancerRun
    from hifigan_cli.enhancement.training import EnhancerTrainOptions
    from hifigan_cli.enhancement.training import train_enhancer as run
    from hifigan_cli.runtime.devices import resolve_device
    from hifigan_cli.runtime.threads import processors

    console = Console(json=json, quiet=quiet)
    named = {"training.steps": steps, "training.seed": seed}
    recipe = resolve_sections(EnhancerRun, config, sets or (), named)
    chosen = EnhancerTrainOptions(
        sources=Sources(prepared, noises, rirs, MelConfig(), recipe),
        out=out,
        device=resolve_device(options.device_name(device, gpu)),
        workers=workers or processors(),
        fresh=fresh,
    )
    if dry_run:
        _dry_run(chosen, console)
        return
    with training_view(console) as report:
        done = run(chosen, report)
    console.note(
        f"`hifigan resynth IN -o OUT --enhancer {done.model}` uses it; "
        f"{out / 'pairs'} may be removed"
    )


def _dry_run(chosen: EnhancerTrainOptions, console: Console) -> None:
    from hifigan_cli.cli.train_view import print_plan
    from hifigan_cli.enhancement.training import estimate_enhancer

    found, training = estimate_enhancer(chosen), chosen.sources.run.training
    print_plan(
        console,
        found,
        chosen.device,
        f"{found.run}: {found.steps:,} steps on {chosen.device}, "
        f"the last {training.adversarial_steps:,} against a discriminator; "
        f"{found.parameters:,} parameters",
        f"{found.clips} clips, {found.noises} noises, {found.rirs} room responses; "
        f"{found.pairs:,} pairs to render, {found.pair_bytes / 1e9:.1f} GB",
    )
