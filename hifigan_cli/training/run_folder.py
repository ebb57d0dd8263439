"""A run's folder: what is in it, who may write it, and where it goes on.

::

    RUN/
      config.toml                            the resolved configuration
      metrics.jsonl                          one object a logged step and a validation
      model.safetensors                      the newest model, for `vocode` and `resynth`
      best.safetensors                       the model of the lowest validation error
      checkpoints/step_00001000.safetensors  all that a resume needs; the last few are kept
      validation_audio/                      the clips of the last validation
      tensorboard/                           curves, audio and pictures
"""

from __future__ import annotations

import itertools
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.io.files import is_file, is_folder, make_folder
from hifigan_cli.io.locks import HOLDER_FILE, LOCK_FILE, locked
from hifigan_cli.models.model_file import MODEL_FILE
from hifigan_cli.training.checkpoint import ResumePoint, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHECKPOINT = re.compile(r"step_(\d{8,})\.safetensors")
# What a killed save leaves: temporaries of `io.files.replacing`, and those of safetensors.
_STRAYS = (".*.tmp", ".tmp??????")


class RunFolder:
    """The places of a run.

    `model_name` is the file of its newest model; `stays`, a folder that every run there may use.
    """

    def __init__(self, path: Path, model_name: str = MODEL_FILE, stays: str | None = None) -> None:
        self.path = path
        self._stays = stays
        self.model = path / model_name
        self.best = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.validation_audio = path / "validation_audio"

    def checkpoint(self, step: int) -> Path:
        """Name the checkpoint of a step."""
        return self.checkpoints / f"step_{step:08d}.safetensors"

    def saved(self) -> list[Path]:
        """List the checkpoints, newest first."""
        if not is_folder(self.checkpoints):
            return []
        found = [p for p in self.checkpoints.glob("*") if _CHECKPOINT.fullmatch(p.name)]
        return sorted(found, key=step_of, reverse=True)

    def prune(self, keep: int) -> None:
        """Remove all checkpoints but the newest `keep`."""
        for path in self.saved()[keep:]:
            path.unlink(missing_ok=True)

    def tidy(self, good: ResumePoint | None) -> None:
        """Clear away what would be in the way of going on from a checkpoint, or from none.

        Newer checkpoints are damaged and get another name, so that they do not count among those
        that are kept. Temporaries that a killed save left behind are removed.
        """
        for path in itertools.takewhile(lambda p: not good or p != good.path, self.saved()):
            path.replace(path.with_name(f"{path.name}.damaged"))
        for folder in (self.path, self.checkpoints, self.validation_audio):
            for stray in (path for pattern in _STRAYS for path in folder.glob(pattern)):
                stray.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it for this process.

        Raises:
            OutputError: another process holds it, or it cannot be made or written.
        """
        make_folder(self.checkpoints)
        with locked(self.path):
            yield

    def set_aside(self) -> Path | None:
        """Rename an existing run to RUN.1, RUN.2 ..., whichever is free; return the new name.

        A folder that holds no run is left as it is.

        Raises:
            OutputError: the run is in use, or cannot be renamed.
        """
        if not is_file(self.config) and not self.saved():
            return None
        path = self.path
        names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
        free = next(name for name in names if not os.path.lexists(name))
        with self.held():  # not while another process trains there
            try:
                path.replace(free)
            except OSError as error:
                raise OutputError(f"cannot rename {path} to {free}: {error.strerror}") from error
            for name in (LOCK_FILE, HOLDER_FILE):
                (free / name).unlink(missing_ok=True)
            if self._stays and is_folder(free / self._stays):
                make_folder(path)
                (free / self._stays).replace(path / self._stays)
        return free


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says."""
    return int(path.stem.removeprefix("step_"))


def newest_checkpoint(
    run: RunFolder, skipped: Callable[[str], None], kind: str
) -> ResumePoint | None:
    """Read the newest intact checkpoint; None where a run has none at all.

    Each damaged one on the way is reported to `skipped`.

    Raises:
        ModelError: there are checkpoints, and every one is damaged.
    """
    saved = run.saved()
    for path in saved:
        try:
            return read_checkpoint(path, kind)
        except ModelError as error:
            skipped(error.message)
    if saved:
        raise ModelError(
            f"every checkpoint in {run.checkpoints} is damaged",
            "--fresh sets the run aside and starts over, with --init MODEL from a model file",
        )
    return None
