"""A run's folder: what is in it, who may write it, and where it goes on.

::

    RUN/
      config.toml                            the resolved configuration
      metrics.jsonl                          one object a logged step and a validation
      model.safetensors                      the newest model, for `vocode` and `resynth`
      best.safetensors                       the model of the lowest validation error
      checkpoints/step_00001000.safetensors  all that a resume needs; the last few are kept
      heard/                                 the clips of the last validation, as sound
      tensorboard/                           curves, audio and pictures
"""

from __future__ import annotations

import itertools
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.io.files import is_file, is_folder, make_folder
from hifigan_cli.io.locks import HOLDER_FILE, LOCK_FILE, locked
from hifigan_cli.training.records.checkpoint import Checkpoint, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHECKPOINT = re.compile(r"step_(\d{8,})\.safetensors")
# What a killed save leaves: temporaries of `audio.files.replacing`, and those of safetensors.
_STRAYS = (".*.tmp", ".tmp??????")


@dataclass(frozen=True)
class RunFolder:
    """The places of a run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The newest model."""
        return self.path / "model.safetensors"

    @property
    def best(self) -> Path:
        """The model of the lowest validation error."""
        return self.path / "best.safetensors"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """The record of losses and validations."""
        return self.path / "metrics.jsonl"

    @property
    def heard(self) -> Path:
        """The folder of the last validation's clips."""
        return self.path / "heard"

    def checkpoint(self, step: int) -> Path:
        """Name the checkpoint of a step."""
        return self.checkpoints / f"step_{step:08d}.safetensors"

    def saved(self) -> list[Path]:
        """List the checkpoints, newest first."""
        if not is_folder(self.checkpoints):
            return []
        found = [p for p in self.checkpoints.glob("*") if _CHECKPOINT.fullmatch(p.name)]
        return sorted(found, key=lambda path: int(path.stem.removeprefix("step_")), reverse=True)

    def prune(self, keep: int) -> None:
        """Remove all checkpoints but the newest `keep`."""
        for path in self.saved()[keep:]:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove temporaries that a killed save left behind."""
        for folder in (self.path, self.checkpoints, self.heard):
            for stray in (path for pattern in _STRAYS for path in folder.glob(pattern)):
                stray.unlink(missing_ok=True)


def newest_checkpoint(run: RunFolder, skipped: Callable[[str], None]) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; None where a run has none at all.

    Each damaged one on the way is told to `skipped`.

    Raises:
        ModelError: there are checkpoints, and every one is damaged.
    """
    saved = run.saved()
    for path in saved:
        try:
            return read_checkpoint(path)
        except ModelError as error:
            skipped(error.message)
    if saved:
        raise ModelError(
            f"every checkpoint in {run.checkpoints} is damaged",
            "--fresh sets the run aside and starts anew; --init MODEL starts from a model file",
        )
    return None


def set_aside_damaged(run: RunFolder, good: Checkpoint | None) -> None:
    """Rename checkpoints newer than the good one, so that they no longer count as kept ones."""
    for path in run.saved():
        if good is not None and path == good.path:
            return
        path.replace(path.with_name(f"{path.name}.damaged"))


@contextmanager
def held(path: Path) -> Iterator[RunFolder]:
    """Hold a run's folder for this process alone, making it first.

    Raises:
        OutputError: another process holds it, or it cannot be made or written.
    """
    run = RunFolder(path)
    make_folder(run.checkpoints)
    with locked(path):
        yield run


def set_aside(path: Path) -> Path | None:
    """Rename an existing run to RUN.1, RUN.2 ..., whichever is free; return the new name.

    A folder that holds no run is left as it is.

    Raises:
        OutputError: the run is in use, or cannot be renamed.
    """
    if not is_file(RunFolder(path).config):
        return None
    names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    free = next(name for name in names if not os.path.lexists(name))
    with held(path):  # not under the feet of a run that is at work
        try:
            path.replace(free)
        except OSError as error:
            raise OutputError(f"cannot rename {path} to {free}: {error.strerror}") from error
        for name in (LOCK_FILE, HOLDER_FILE):
            (free / name).unlink(missing_ok=True)
    return free
