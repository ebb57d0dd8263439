"""`hifigan bench`: how fast this machine is at what the program does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.benchmarks import TrainingFigures

app = typer.Typer(no_args_is_help=True, help="Measure the speed of this machine.")


@app.command("train")
def bench_train(
    preset: options.Preset = None,
    sets: options.Sets = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Segments in a batch.")] = 2,
    rounds: Annotated[
        int, typer.Option("--steps", min=1, metavar="N", help="Steps of each kind, in turn.")
    ] = 5,
    bf16: Annotated[
        bool | None,
        typer.Option("--bf16/--fp32", help="Of the fast step, one only. Default: both."),
    ] = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Of the processor.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure training: the fast step against the plain loop of the official code.

    Both run in turn on the same synthetic batch; the medians are told, and how far their gradients
    lie apart.
    """
    import os

    import torch

    from hifigan_cli.benchmarks import measure_training
    from hifigan_cli.config import resolve
    from hifigan_cli.models.devices import resolve_device

    console = Console(json=json, quiet=quiet)
    config = resolve(preset, None, os.environ, sets or (), {"batch_size": batch}).config
    if threads is not None:
        torch.set_num_threads(threads)
    precisions = {None: ("fp32", "bf16"), True: ("bf16",), False: ("fp32",)}[bf16]
    with console.progress("steps", rounds) as advance:
        figures = measure_training(
            config,
            resolve_device(options.device_name(device, gpu)),
            rounds,
            precisions,
            lambda done, _total: advance(done, ""),
            console.warn,
        )
    _print(console, figures)


def _print(console: Console, figures: TrainingFigures) -> None:
    from dataclasses import asdict

    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("step", "steps/s", "s audio/s", "ratio", "GFLOP", "of peak", "compiled"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for step in figures.steps:
        table.add_row(
            step.name,
            f"{step.steps_per_s:.3g}",
            f"{step.audio_s_per_s:.3g}",
            f"{step.ratio:.2f}",
            f"{step.gflop:.0f}",
            f"{step.peak_share:.0%}",
            "yes" if step.compiled else "no",
        )
    peaks: dict[str, Any] = figures.peak_gflop_per_s
    shown = ", ".join(f"{name} {value:,.0f} GFLOP/s" for name, value in peaks.items())
    console.note(
        f"{figures.device}, {figures.threads} threads, batch {figures.batch} x "
        f"{figures.segment_samples} samples, median of {figures.rounds}; peak: {shown}; "
        f"gradients differ by {figures.gradient_difference:.1e} at most"
    )
    console.data("bench_train", table, **asdict(figures))
