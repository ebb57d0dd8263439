"""Training runs that take seconds, as commands that can be observed, stopped and compared."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from tests.forkserver import HIFIGAN_SMALL, start_with_pipes
from tests.helpers import environment
from tests.training import small
from tests.training.runs import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

# EMA weights and a learning rate decay, so that a resume needs every kind of state.
RECIPE: dict[str, Any] = {"ema_decay": 0.9, "lr_decay": 0.5, "lr_decay_steps": 2}


def train_args(prepared: Path, out: Path, **recipe: Any) -> list[str | Path]:
    """Return the arguments of a training command."""
    options = small.arguments(**{**RECIPE, **recipe})
    return ["train", prepared, "--out", out, "--no-tensorboard", "--json", *options]


def saved_steps(run: Path) -> list[int]:
    """List the steps of a run's checkpoints."""
    paths = (run / "checkpoints").glob("step_*.safetensors")
    return sorted(int(path.stem.removeprefix("step_")) for path in paths)


def same_checkpoint(one: Path, other: Path, step: int) -> bool:
    """Return whether two runs' checkpoints of a step are bit-identical."""
    a, b = (load_file(checkpoint(run, step)) for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


class RunningCommand:
    """A command in the background, with a method to wait for its `--json` events."""

    def __init__(self, program: Sequence[str], args: Sequence[str | Path]) -> None:
        self.process, self._out, self._err = start_with_pipes(program, args, environment())
        self.events: list[dict[str, Any]] = []
        self.errors = ""
        # Read stderr in a thread, so that its pipe does not fill up while events are read.
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def _read_errors(self) -> None:
        with self._err as stream:
            self.errors = stream.read()

    def wait_for(self, event: str, step: int = 0) -> dict[str, Any]:
        """Read events until one of this kind has at least this step."""
        for line in self._out:
            received = json.loads(line)
            self.events.append(received)
            if received["event"] == event and received.get("step", 0) >= step:
                return dict(received)
        self.wait()
        pytest.fail(f"the command ended before {event} {step}: {self.errors}")

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for the command to end; return its exit code."""
        self.events += [json.loads(line) for line in self._out if line.startswith("{")]
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def close(self) -> None:
        """Close the pipes of an ended process."""
        self._reader.join(10)
        self._out.close()


@contextmanager
def running_command(
    *args: str | Path, program: Sequence[str] = HIFIGAN_SMALL
) -> Iterator[RunningCommand]:
    """Start a command; kill it at the end of the block."""
    run = RunningCommand(program, args)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()
        run.close()
