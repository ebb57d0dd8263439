"""`hifigan bench`: the speed of synthesis and of training on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

_BATCH = 2  # segments
Number = TypeVar("Number", int, float)

app = typer.Typer(help="Measure the speed of this machine.")
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Of the processor. Default: all."),
]


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    engines: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="torch, onnx, native. Default: all that are here."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="v1, v2, v3 (random weights), or a model as for resynth; repeatable. "
            "Default: ljspeech-v1, v2, v3.",
            show_default=False,
        ),
    ] = None,
    lengths: Annotated[
        str, typer.Option(metavar="S,S", help="Of the speech, in seconds.")
    ] = "1,5,20,60",
    batches: Annotated[
        str, typer.Option("--batch", metavar="N,N", help="Signals at once, of each length.")
    ] = "1",
    speech: Annotated[
        Path | None,
        typer.Option(help="A recording to take mels of. Default: the one that comes along."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Of which medians are told.")] = 5,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Measure the peak memory.")
    ] = True,
    cold: Annotated[
        bool, typer.Option("--cold", help="Measure whole processes of resynth instead.")
    ] = False,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    threads: Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure synthesis: every engine against the plain forward of the same weights.

    The yardstick is torch, eager, on the whole mel. All take turns on the same speech. Told are the
    seconds of speech a second (RTF), the ratio to the yardstick, the share of the device's peak,
    the exactness against double precision, and the memory. `hifigan bench train` measures training.
    """
    if context.invoked_subcommand is not None:
        return
    from hifigan_cli.benchmarks.contenders import (
        DEFAULT_SUBJECTS,
        find_contenders,
        find_subject,
    )
    from hifigan_cli.cli.bench_view import print_cold, print_synthesis
    from hifigan_cli.runtime.devices import find_device
    from hifigan_cli.runtime.threads import available_threads

    console = Console(json=json, quiet=quiet)
    device = find_device(options.device_name(device, gpu))
    contenders, lacking = find_contenders(engines.split(",") if engines else None, device)
    for name, lack in lacking.items():
        console.note(f"left out: {name}: {lack}")
    subjects = [find_subject(name) for name in models or DEFAULT_SUBJECTS]
    threads = threads or available_threads()
    if cold:
        from hifigan_cli.benchmarks.cold import measure_cold

        with console.progress("rounds", len(subjects) * (rounds + 1)) as advance:
            print_cold(
                console, measure_cold(subjects, contenders, threads, rounds, device, advance)
            )
        return
    from hifigan_cli.benchmarks.synthesis import Setting, measure_synthesis

    lengths_s = _numbers("--lengths", lengths, float, 36_000.0)
    sizes = _numbers("--batch", batches, int, 1024)
    setting = Setting(contenders, lengths_s, threads, rounds, memory, device, sizes)
    if speech is not None:
        setting = setting.of_recording(speech)
    with console.progress("measurements", len(subjects) * len(lengths_s) * len(sizes)) as advance:
        print_synthesis(console, measure_synthesis(subjects, setting, advance))


def _numbers(option: str, text: str, kind: type[Number], most: Number) -> list[Number]:
    """Read a list such as 1,5,20 of numbers above 0."""
    from hifigan_cli.errors import UsageError

    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < each <= most for each in found):
        raise UsageError(
            f"{option} {text} is not a list of numbers above 0, up to {most:g}", "as in 1,16"
        )
    return found


@app.command("train")
def bench_train(
    preset: options.Preset = None,
    sets: options.Sets = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, help="Segments in a batch. Default: 2, or --set batch_size."
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--steps", min=1, metavar="N", help="Steps of each kind, in turn.")
    ] = 5,
    bf16: Annotated[
        bool | None,
        typer.Option("--bf16/--fp32", help="Of the fast step, one only. Default: both."),
    ] = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    threads: Threads = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure training: the fast step against the plain loop of the official code.

    Both run in turn on the same synthetic batch; the medians are told, and how far their gradients
    lie apart.
    """
    import os

    import torch

    from hifigan_cli.benchmarks.training import measure_training
    from hifigan_cli.cli.bench_view import print_training
    from hifigan_cli.config import resolve
    from hifigan_cli.errors import UsageError
    from hifigan_cli.runtime.devices import resolve_device

    console = Console(json=json, quiet=quiet)
    found = resolve(preset, None, os.environ, sets or (), {"batch_size": batch})
    if found.sources["train.batch_size"] == "default":  # the paper's 16 take a CPU too long
        found = resolve(preset, None, os.environ, sets or (), {"batch_size": _BATCH})
    config = found.config
    if config.train.accumulate > config.train.batch_size:
        raise UsageError(
            f"a batch of {config.train.batch_size} cannot be cut in {config.train.accumulate} "
            "pieces",
            "set accumulate to less, or --batch to more",
        )
    if threads is not None:
        torch.set_num_threads(threads)
    precisions = {None: ("fp32", "bf16"), True: ("bf16",), False: ("fp32",)}[bf16]
    with console.progress("steps", rounds) as advance:
        chosen = resolve_device(options.device_name(device, gpu))
        figures = measure_training(config, chosen, rounds, precisions, advance, console.warn)
    print_training(console, figures)
