"""The options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


def _complete_preset(incomplete: str) -> list[str]:
    """Return the presets that start with `incomplete`, for shell completion."""
    from hifigan_cli.config.presets import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Output file, folder for several files, or - for stdout."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide notes and progress.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Decode as much of a damaged file as possible (truncated, NaN samples)."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        envvar="HIFIGAN_MODEL",
        help="Model file, training run folder, universal-v1 or ljspeech-v1. Default: universal-v1.",
        show_default=False,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", min=1, help="Total number of steps, including those before a resume."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Random seed for weights and data.")
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="HIFIGAN_DEVICE",
        help="Device: auto, cpu, cuda, cuda:N or mps.",
        metavar="NAME",
    ),
]
Gpu = Annotated[
    int | None, typer.Option("--gpu", min=0, help="Short for --device cuda:N.", metavar="N")
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        envvar="HIFIGAN_ENGINE",
        metavar="NAME",
        help="Inference engine: auto, native, onnx, torch, or eager (the unoptimized PyTorch "
        "forward pass, for comparison).",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        envvar="HIFIGAN_PRECISION",
        metavar="NAME",
        help="fp32, or a faster precision: int16 (native), bf16 (torch), fp16 (GPUs).",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        envvar="HIFIGAN_THREADS",
        help="Number of CPU threads. Default: all available CPUs.",
        show_default=False,
    ),
]
Chunk = Annotated[
    int,
    typer.Option(
        "--chunk",
        min=0,
        envvar="HIFIGAN_CHUNK",
        help="Mel frames per chunk; fewer frames use less memory (0 = automatic).",
    ),
]
Raw = Annotated[
    bool, typer.Option("--raw", help="Write 16-bit samples without a WAV header to stdout.")
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Process shard I of N of the files (1/N to N/N). Default under torchrun: the rank.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file: TOML, or a config.json of the official code."
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="v1, v2, v3, or a preset for another sample rate (v1-16k to v3-48k); "
        "`hifigan config presets` lists them. Default: v1.",
        autocompletion=_complete_preset,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Set one configuration value; repeatable."
    ),
]


def device_name(device: str, gpu: int | None) -> str:
    """Return the device name; `--gpu N` takes precedence over `--device`."""
    return device if gpu is None else f"cuda:{gpu}"


def synthesis_options(
    model: str | None,
    device: str,
    gpu: int | None,
    engine: str,
    precision: str,
    threads: int | None,
    *,
    raw: bool,
    chunk: int,
    shard: str | None,
    force: bool,
) -> SynthesisOptions:
    """Build `SynthesisOptions` from the options of a synthesis command.

    Raises:
        UsageError: the engine or precision is unknown, or `shard` is not I/N.
    """
    from hifigan_cli.engines.selection import EngineOptions
    from hifigan_cli.runtime.sharding import resolve_shard
    from hifigan_cli.synthesis.pipeline import SynthesisOptions

    engine_options = EngineOptions(engine, precision, device_name(device, gpu), threads)
    return SynthesisOptions(
        model, engine_options, chunk, resolve_shard(shard, os.environ), force, raw
    )
