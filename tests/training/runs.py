"""Helpers: train in this process, and compare the files of two runs."""

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
from hifigan_cli.training.events import Event
from hifigan_cli.types import Notice
from tests.training import small

CPU = torch.device("cpu")
SINGLE_PROCESS = DistributedContext(0, 1, CPU)
EventT = TypeVar("EventT")


def noise(seed: int = 0, size: int = 4, *, mels: bool = False) -> Batch:
    """Return a batch of noise, optionally with input mels."""
    generator = torch.Generator().manual_seed(seed)
    samples = 0.3 * torch.randn(size, 1024, generator=generator)
    return Batch(samples, torch.randn(size, 80, 4, generator=generator) if mels else None)


def of_type(events: Iterable[object], kind: type[EventT]) -> list[EventT]:
    """Return the events of one type."""
    return [event for event in events if isinstance(event, kind)]


def warnings(events: Iterable[object]) -> list[str]:
    """Return the warnings of a run."""
    return [event.message for event in of_type(events, Notice) if event.warning]


def train_run(
    prepared: Path,
    out: Path,
    *,
    init: Path | None = None,
    fresh: bool = False,
    tensorboard: bool | None = False,
    device: torch.device = CPU,
    **recipe: Any,
) -> list[Event]:
    """Train, by default on the CPU; return the events."""
    events: list[Event] = []
    config = small.config(**recipe)
    source = str(init) if init else None
    train(TrainOptions(config, prepared, out, device, source, fresh, tensorboard), events.append)
    return events


def checkpoint(run: Path, step: int) -> Path:
    """Return the path of a run's checkpoint."""
    return run / "checkpoints" / f"step_{step:08d}.safetensors"


def differing_tensors(first: Path, second: Path) -> list[str]:
    """Return the names of the tensors that are not bit-identical in two files."""
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    return [name for name, value in a.items() if not torch.equal(value, b[name])]


def metrics(run: Path, event: str = "train") -> list[dict[str, Any]]:
    """Read the entries of one event from metrics.jsonl."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]
