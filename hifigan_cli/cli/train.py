"""`hifigan train`: prepared data -> a run's folder with the trained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.config import Resolved
    from hifigan_cli.training import Plan


def train(
    prepared: Annotated[
        Path, typer.Argument(help="The folder that `hifigan preprocess` made.")
    ] = Path("prepared"),
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run's folder. Default: runs/PRESET."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps in total, over all resumes.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of weights and data.")] = None,
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
        typer.Option("--overfit", min=1, metavar="N", help="Train on N fixed segments alone."),
    ] = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Run the networks in bfloat16; losses stay fp32.")
    ] = False,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="torch.compile, minutes at each start."),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits each time, more slowly.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            "--force",
            "-f",
            help="Start anew; an old run there becomes RUN.1, RUN.2 ...",
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
    from hifigan_cli.runtime.devices import resolve_device
    from hifigan_cli.training import Plan

    console = Console(json=json, quiet=quiet)
    named: dict[str, object] = {
        "steps": steps,
        "seed": seed,
        "overfit": overfit,
        "precision": "bf16" if bf16 else None,
        "compile": compile_,
        "deterministic": deterministic or None,
    }
    plan = Plan(
        config=_resolved(preset, config, sets, named).config,
        prepared=prepared,
        out=out or Path("runs") / _preset_name(preset, config),
        device=resolve_device(options.device_name(device, gpu)),
        init=_initial(init),
        fresh=fresh,
        tensorboard=tensorboard,
        wandb=wandb,
    )
    if dry_run:
        _dry_run(plan, console)
    else:
        _train(plan, console)


def _train(plan: Plan, console: Console) -> None:
    from hifigan_cli.cli.train_view import training_view
    from hifigan_cli.training import train as run

    with training_view(console) as report:
        run(plan, report)


def _resolved(
    preset: str | None, config: Path | None, sets: list[str] | None, named: dict[str, object]
) -> Resolved:
    from hifigan_cli.config import resolve

    return resolve(preset, config, os.environ, sets or (), named)


def _preset_name(preset: str | None, config: Path | None) -> str:
    """Name the preset that the default run folder is called after."""
    from hifigan_cli.config.resolve import read_toml

    named = read_toml(config).get("preset") if config and not preset else None
    return preset or str(named or "v1")


def _initial(name: str | None) -> Path | None:
    """Find what `--init` means; a run's folder stays a folder, for its discriminators."""
    if name is None:
        return None
    from hifigan_cli.io.files import is_folder
    from hifigan_cli.synthesis.model_lookup import locate_model

    if is_folder(Path(name)):
        return Path(name)
    return locate_model(name)


def _dry_run(plan: Plan, console: Console) -> None:
    from dataclasses import asdict

    from hifigan_cli.data.prepared import open_prepared
    from hifigan_cli.training import outlook

    found = outlook(plan, open_prepared(plan.prepared))
    begun = f"continues at step {found.first_step:,}" if found.first_step else "starts"
    lines = (
        f"{found.run}: {begun}, up to step {found.steps:,} ({found.epochs:.1f} epochs), "
        f"on {plan.device}",
        f"{found.training_clips} clips, {found.training_hours:.2f} h; "
        f"{found.validation_clips} for validation",
        f"generator {found.generator_parameters:,} parameters, "
        f"discriminators {found.discriminator_parameters:,}",
        f"{found.checkpoint_bytes / 1e9:.2f} GB a checkpoint, {found.kept_bytes / 1e9:.1f} GB kept",
    )
    fields = {**asdict(found), "run": str(found.run), "device": str(plan.device)}
    console.data("plan", "\n".join(lines), **fields)
