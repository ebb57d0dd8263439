"""Options that several commands share, spelled once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


def _presets(incomplete: str) -> list[str]:
    """Offer the shell the presets that begin with what is typed."""
    from hifigan_cli.config.presets import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


Out = Annotated[Path, typer.Option("--out", "-o", help="A file, or a folder for several.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite what exists.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done; touch nothing.")]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Decode as much of damaged audio as possible: cut files, NaN samples."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        envvar="HIFIGAN_MODEL",
        help="A model file, a training run's folder, universal-v1 or ljspeech-v1. "
        "Default: universal-v1.",
        show_default=False,
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Steps in total, over all resumes.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of weights and data.")]
Device = Annotated[
    str,
    typer.Option(
        "--device", envvar="HIFIGAN_DEVICE", help="auto, cpu, cuda, cuda:N or mps.", metavar="NAME"
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
        help="auto, native, onnx, torch, or eager (the plain forward pass, for comparison).",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        envvar="HIFIGAN_PRECISION",
        metavar="NAME",
        help="fp32, or for speed int16 (native), bf16 (torch), and fp16 on GPUs.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        envvar="HIFIGAN_THREADS",
        help="Threads on a CPU. Default: all available CPUs.",
        show_default=False,
    ),
]
Chunk = Annotated[
    int,
    typer.Option(
        "--chunk",
        min=0,
        envvar="HIFIGAN_CHUNK",
        help="Mel frames synthesized at once; fewer use less memory (0 = automatic).",
    ),
]
Raw = Annotated[bool, typer.Option("--raw", help="To stdout: 16-bit samples without a WAV header.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do part I of N of the files, 1/N to N/N. Under torchrun: by rank.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of configuration values.")
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="v1, v2, v3, or of another rate: v1-16k to v3-48k; `hifigan config presets` lists "
        "them. Default: v1.",
        autocompletion=_presets,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="One configuration value; repeatable."),
]


def device_name(device: str, gpu: int | None) -> str:
    """Return the device that `--device` and `--gpu` ask for together."""
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
    """Return what the options of a synthesis command ask for.

    Raises:
        UsageError: there is no such engine or precision, or `shard` is not I/N.
    """
    from hifigan_cli.engines.choose import EngineOptions
    from hifigan_cli.runtime.sharding import choose_shard
    from hifigan_cli.synthesis.pipeline import SynthesisOptions

    engine_options = EngineOptions(engine, precision, device_name(device, gpu), threads)
    return SynthesisOptions(
        model, engine_options, chunk, choose_shard(shard, os.environ), force, raw
    )
