"""`hifigan train`: prepared data -> a run's folder with the trained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.training import TrainOptions


def train(
    prepared: Annotated[
        Path, typer.Argument(help="The folder that `hifigan preprocess` wrote.")
    ] = Path("prepared"),
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run's folder. Default: runs/PRESET."),
    ] = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            help="Start from a model file, a run's folder, or a pretrained name.",
        ),
    ] = None,
    overfit: Annotated[
        int | None,
        typer.Option("--overfit", min=1, metavar="N", help="Train on N fixed segments only."),
    ] = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Run the networks in bfloat16; losses stay fp32.")
    ] = False,
    compile_: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Use torch.compile; takes minutes at each start."
        ),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Give the same bits each time, more slowly.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            "--force",
            "-f",
            help="Start over; an old run there becomes RUN.1, RUN.2 ...",
        ),
    ] = False,
    tensorboard: Annotated[
        bool | None,
        typer.Option(
            "--tensorboard/--no-tensorboard",
            help="Write curves, audio and pictures. Default: where installed.",
        ),
    ] = None,
    wandb: Annotated[
        str | None,
        typer.Option("--wandb", metavar="PROJECT", help="Log to Weights & Biases too."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train a vocoder. The same command again continues; --steps is the total.

    Ctrl-C finishes the step and saves. Under torchrun it trains on several GPUs. The run's folder
    then holds model.safetensors and best.safetensors, which vocode and resynth take.
    """
    from hifigan_cli.cli.train_view import training_view
    from hifigan_cli.config import resolve
    from hifigan_cli.runtime.devices import resolve_device
    from hifigan_cli.training import TrainOptions
    from hifigan_cli.training import train as run

    console = Console(json=json, quiet=quiet)
    named: dict[str, object] = {
        "steps": steps,
        "seed": seed,
        "overfit": overfit,
        "precision": "bf16" if bf16 else None,
        "compile": compile_,
        "deterministic": deterministic or None,
    }
    resolved = resolve(preset, config, os.environ, sets or (), named)
    chosen = TrainOptions(
        config=resolved.config,
        prepared=prepared,
        out=out or Path("runs") / resolved.preset,
        device=resolve_device(options.device_name(device, gpu)),
        init=init,
        fresh=fresh,
        tensorboard=tensorboard,
        wandb=wandb,
    )
    if dry_run:
        _dry_run(chosen, console)
        return
    with training_view(console) as report:
        run(chosen, report)


def _dry_run(chosen: TrainOptions, console: Console) -> None:
    from hifigan_cli.cli.train_view import print_plan
    from hifigan_cli.data.prepared import open_prepared
    from hifigan_cli.training import estimate

    found = estimate(chosen, open_prepared(chosen.prepared))
    begun = f"continues at step {found.first_step:,}" if found.first_step else "starts"
    print_plan(
        console,
        found,
        chosen.device,
        f"{found.run}: {begun}, up to step {found.steps:,} ({found.epochs:.1f} epochs), "
        f"on {chosen.device}",
        f"{found.training_clips} clips, {found.training_hours:.2f} h; "
        f"{found.validation_clips} for validation",
        f"generator {found.generator_parameters:,} parameters, "
        f"discriminators {found.discriminator_parameters:,}",
        f"{found.checkpoint_bytes / 1e9:.2f} GB a checkpoint, {found.kept_bytes / 1e9:.1f} GB kept",
    )
