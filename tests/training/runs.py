"""Helpers: train in this process, and compare what two runs left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from hifigan_cli.training import TrainOptions, train
from hifigan_cli.training.events import Event
from tests.training import small

CPU = torch.device("cpu")


def go(
    prepared: Path,
    out: Path,
    *,
    init: Path | None = None,
    fresh: bool = False,
    tensorboard: bool | None = False,
    device: torch.device = CPU,
    **recipe: Any,
) -> list[Event]:
    """Train, by default on the CPU; return what the run reported."""
    events: list[Event] = []
    options = TrainOptions(
        small.config(**recipe),
        prepared,
        out,
        device,
        init=init,
        fresh=fresh,
        tensorboard=tensorboard,
    )
    train(options, events.append)
    return events


def checkpoint(run: Path, step: int) -> Path:
    """Name a run's checkpoint."""
    return run / "checkpoints" / f"step_{step:08d}.safetensors"


def differing(one: Path, other: Path) -> list[str]:
    """Name the tensors that are not the same to the last bit in two files."""
    a, b = load_file(one), load_file(other)
    assert a.keys() == b.keys()
    return [name for name, value in a.items() if not torch.equal(value, b[name])]


def metrics(run: Path, event: str = "train") -> list[dict[str, Any]]:
    """Read the lines of metrics.jsonl of one kind."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]
