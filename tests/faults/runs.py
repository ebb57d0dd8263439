"""Training runs of seconds, as commands that can be watched, stopped and compared."""

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

from tests.forkserver import SMALL, start_with_pipes
from tests.helpers import environment
from tests.training import small
from tests.training.runs import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

# An average and a falling learning rate, so that every kind of state plays a part in a resume.
RECIPE: dict[str, Any] = {"ema_decay": 0.9, "lr_decay": 0.5, "lr_decay_steps": 2}


def words(prepared: Path, out: Path, **recipe: Any) -> list[str | Path]:
    """Return the words of a training command."""
    options = small.arguments(**{**RECIPE, **recipe})
    return ["train", prepared, "--out", out, "--no-tensorboard", "--json", *options]


def steps_saved(run: Path) -> list[int]:
    """List the steps of a run's checkpoints."""
    found = (run / "checkpoints").glob("step_*.safetensors")
    return sorted(int(path.stem.removeprefix("step_")) for path in found)


def same(one: Path, other: Path, step: int) -> bool:
    """Tell whether two runs' checkpoints of a step are the same to the last bit."""
    a, b = (load_file(checkpoint(run, step)) for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


class Watched:
    """A command at work, whose `--json` events can be waited for."""

    def __init__(self, program: Sequence[str], words: Sequence[str | Path]) -> None:
        self.process, self._out, self._err = start_with_pipes(program, words, environment())
        self.events: list[dict[str, Any]] = []
        self.errors = ""
        # Warnings must not fill their pipe while events are read.
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def _read_errors(self) -> None:
        with self._err as stream:
            self.errors = stream.read()

    def wait_for(self, event: str, step: int = 0) -> dict[str, Any]:
        """Read events until one of this kind reaches a step."""
        for line in self._out:
            told = json.loads(line)
            self.events.append(told)
            if told["event"] == event and told.get("step", 0) >= step:
                return dict(told)
        self.end()
        pytest.fail(f"it ended before {event} {step}: {self.errors}")

    def end(self, timeout_s: float = 60) -> int:
        """Wait for the end; return the exit code."""
        self.events += [json.loads(line) for line in self._out if line.startswith("{")]
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def close(self) -> None:
        """Close what is left of the pipes of an ended process."""
        self._reader.join(10)
        self._out.close()


@contextmanager
def watched(*words: str | Path, program: Sequence[str] = SMALL) -> Iterator[Watched]:
    """Start a command; it does not outlive the block."""
    run = Watched(program, words)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()
        run.close()
