"""Helpers: train in this process, and compare what two runs left."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file

from hifigan_cli.data.batches import Batch
from hifigan_cli.runtime.distributed import DistributedContext
from hifigan_cli.training import TrainOptions, train
from hifigan_cli.training.events import Event, Noted
from tests.training import small

CPU = torch.device("cpu")
ALONE = DistributedContext(0, 1, CPU)
EventT = TypeVar("EventT")


def noise(seed: int = 0, size: int = 4, *, mels: bool = False) -> Batch:
    """Return a batch of noise, and of input mels if they are asked for."""
    generator = torch.Generator().manual_seed(seed)
    samples = 0.3 * torch.randn(size, 1024, generator=generator)
    return Batch(samples, torch.randn(size, 80, 4, generator=generator) if mels else None)


def of(events: Iterable[object], kind: type[EventT]) -> list[EventT]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def warnings(events: Iterable[object]) -> list[str]:
    """Return what a run warned of."""
    return [event.message for event in of(events, Noted) if event.warning]


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
    config = small.config(**recipe)
    named = str(init) if init else None
    train(TrainOptions(config, prepared, out, device, named, fresh, tensorboard), events.append)
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
