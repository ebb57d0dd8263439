"""`hifigan train`: prepared data -> training run folder with the trained model."""

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
        Path, typer.Argument(help="Folder written by `hifigan preprocess`.")
    ] = Path("prepared"),
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Training run folder. Default: runs/PRESET."),
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
            help="Initial weights: model file, training run folder, or name of a pretrained model.",
        ),
    ] = None,
    overfit: Annotated[
        int | None,
        typer.Option("--overfit", min=1, metavar="N", help="Train on N fixed segments only."),
    ] = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Run the networks in bfloat16 and the losses in fp32.")
    ] = False,
    compile_: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Use torch.compile, which takes minutes at each start."
        ),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="Produce bit-identical results at lower speed."),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            "--force",
            "-f",
            help="Start from scratch; an existing run is renamed to RUN.1, RUN.2 ...",
        ),
    ] = False,
    tensorboard: Annotated[
        bool | None,
        typer.Option(
            "--tensorboard/--no-tensorboard",
            help="Log curves, audio and spectrograms to TensorBoard. Default: if it is installed.",
        ),
    ] = None,
    wandb: Annotated[
        str | None,
        typer.Option("--wandb", metavar="PROJECT", help="Log to this Weights & Biases project."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train a vocoder.

    Run the same command again to continue. Ctrl-C finishes the current step and saves a
    checkpoint. Use torchrun to train on several GPUs. The training run folder contains
    model.safetensors and best.safetensors for vocode and resynth.
    """
    from hifigan_cli.cli.train_view import training_view
    from hifigan_cli.config import resolve
    from hifigan_cli.runtime.devices import resolve_device
    from hifigan_cli.training import TrainOptions
    from hifigan_cli.training import train as run

    console = Console(json=json, quiet=quiet)
    option_values: dict[str, object] = {
        "steps": steps,
        "seed": seed,
        "overfit": overfit,
        "precision": "bf16" if bf16 else None,
        "compile": compile_,
        "deterministic": deterministic or None,
    }
    resolved = resolve(preset, config, os.environ, overrides or (), option_values)
    train_options = TrainOptions(
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
        _dry_run(train_options, console)
        return
    with training_view(console) as report:
        run(train_options, report)


def _dry_run(train_options: TrainOptions, console: Console) -> None:
    from hifigan_cli.cli.train_view import print_plan
    from hifigan_cli.data.prepared import open_prepared
    from hifigan_cli.training import estimate

    plan = estimate(train_options, open_prepared(train_options.prepared))
    start = f"continues at step {plan.first_step:,}" if plan.first_step else "starts"
    print_plan(
        console,
        plan,
        train_options.device,
        f"{plan.run}: {start}, up to step {plan.steps:,} ({plan.epochs:.1f} epochs), "
        f"on {train_options.device}",
        f"{plan.training_clips} clips, {plan.training_hours:.2f} h; "
        f"{plan.validation_clips} for validation",
        f"generator {plan.generator_parameters:,} parameters, "
        f"discriminators {plan.discriminator_parameters:,}",
        f"{plan.checkpoint_bytes / 1e9:.2f} GB per checkpoint, "
        f"{plan.total_checkpoint_bytes / 1e9:.1f} GB for all of them",
    )
