"""`hifigan bench`: measure the speed of synthesis and of training on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

_TRAINING_BATCH_SIZE = 2  # the paper's 16 takes a CPU too long
Number = TypeVar("Number", int, float)

app = typer.Typer()
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        help="Number of CPU threads. Default: all available CPUs.",
    ),
]


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    engines: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Engines: torch, onnx, native. Default: all that are installed."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="v1, v2 or v3 with random weights, or a model that resynth accepts; repeatable. "
            "Default: ljspeech-v1, v2, v3.",
            show_default=False,
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(metavar="S,S", help="Lengths of speech in seconds.")
    ] = "1,5,20,60",
    batch_sizes: Annotated[
        str,
        typer.Option("--batch-sizes", metavar="N,N", help="Batch sizes to measure at each length."),
    ] = "1",
    speech: Annotated[
        Path | None,
        typer.Option(help="Recording to compute mels from. Default: the bundled recording."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of rounds; the median is reported.")
    ] = 5,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Measure the peak memory.")
    ] = True,
    cold_start: Annotated[
        bool,
        typer.Option("--cold-start", help="Measure complete `hifigan resynth` processes instead."),
    ] = False,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    threads: Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the speed of synthesis, or of training with `hifigan bench train`.

    Synthesis is compared with `eager`, the unoptimized PyTorch forward pass of the same weights on
    the complete mel. The engines take turns on the same speech. The report contains the speed
    (times real time), the ratio to eager, the share of the device's peak performance, the
    accuracy against double precision, and the memory.
    """
    if context.invoked_subcommand is not None:
        return
    from hifigan_cli.benchmarks.variants import (
        DEFAULT_MODELS,
        find_benchmark_model,
        find_variants,
    )
    from hifigan_cli.cli.bench_view import print_cold_start, print_synthesis
    from hifigan_cli.runtime.devices import resolve_device_name
    from hifigan_cli.runtime.threads import available_threads

    console = Console(json=json, quiet=quiet)
    device = resolve_device_name(options.device_name(device, gpu))
    variants, unavailable = find_variants(engines.split(",") if engines else None, device)
    for name, reason in unavailable.items():
        console.note(f"{name} is not measured: {reason}")
    benchmark_models = [find_benchmark_model(name) for name in models or DEFAULT_MODELS]
    threads = threads or available_threads()
    if cold_start:
        from hifigan_cli.benchmarks.cold_start import measure_cold_start

        with console.progress("rounds", len(benchmark_models) * (rounds + 1)) as advance:
            print_cold_start(
                console,
                measure_cold_start(benchmark_models, variants, threads, rounds, device, advance),
            )
        return
    from hifigan_cli.benchmarks.synthesis import BenchmarkSettings, measure_synthesis

    lengths_s = _numbers("--lengths", lengths, float, 36_000.0)
    sizes = _numbers("--batch-sizes", batch_sizes, int, 1024)
    settings = BenchmarkSettings(variants, lengths_s, threads, rounds, memory, device, sizes)
    if speech is not None:
        settings = settings.with_recording(speech)
    with console.progress(
        "measurements", len(benchmark_models) * len(lengths_s) * len(sizes)
    ) as advance:
        print_synthesis(console, measure_synthesis(benchmark_models, settings, advance))


def _numbers(option: str, text: str, number_type: type[Number], maximum: Number) -> list[Number]:
    """Parse a list of positive numbers such as 1,5,20."""
    from hifigan_cli.errors import UsageError

    try:
        numbers = [number_type(item) for item in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number <= maximum for number in numbers):
        raise UsageError(
            f"{option} {text} is not a list of numbers above 0, up to {maximum:g}",
            f"use a list such as {option} 1,16",
        )
    return numbers


@app.command("train")
def bench_train(
    preset: options.Preset = None,
    overrides: options.Overrides = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, help="Segments per batch. Default: 2, or --set batch_size."
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--steps", min=1, metavar="N", help="Number of steps of each kind.")
    ] = 5,
    bf16: Annotated[
        bool | None,
        typer.Option("--bf16/--fp32", help="Precision of the optimized step. Default: both."),
    ] = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    threads: Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the optimized training step against the training loop of the official code.

    Both take turns on the same synthetic batch. The report contains the medians and the largest
    difference between the gradients.
    """
    import os

    import torch

    from hifigan_cli.benchmarks.training import measure_training
    from hifigan_cli.cli.bench_view import print_training
    from hifigan_cli.config import resolve
    from hifigan_cli.errors import UsageError
    from hifigan_cli.runtime.devices import resolve_device

    console = Console(json=json, quiet=quiet)
    resolved = resolve(preset, None, os.environ, overrides or (), {"batch_size": batch_size})
    if resolved.sources["train.batch_size"] == "default":
        defaults = {"batch_size": _TRAINING_BATCH_SIZE}
        resolved = resolve(preset, None, os.environ, overrides or (), defaults)
    config = resolved.config
    if config.train.micro_batches > config.train.batch_size:
        raise UsageError(
            f"a batch of {config.train.batch_size} segments cannot be split into "
            f"{config.train.micro_batches} parts",
            "lower micro_batches, or raise --batch-size",
        )
    if threads is not None:
        torch.set_num_threads(threads)
    precisions = {None: ("fp32", "bf16"), True: ("bf16",), False: ("fp32",)}[bf16]
    with console.progress("steps", rounds) as advance:
        torch_device = resolve_device(options.device_name(device, gpu))
        measured = measure_training(config, torch_device, rounds, precisions, advance, console.warn)
    print_training(console, measured)
