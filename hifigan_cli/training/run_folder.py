"""The run folder: its files, its lock, and its checkpoints.

::

    RUN/
      config.toml                            the resolved configuration
      metrics.jsonl                          one object per log entry and validation
      model.safetensors                      the newest model, for `vocode` and `resynth`
      best.safetensors                       the model with the lowest validation error
      checkpoints/step_00001000.safetensors  everything that a resume needs; the last few are kept
      validation_audio/                      the clips of the last validation
      tensorboard/                           curves, audio and images
"""

from __future__ import annotations

import itertools
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.io.files import create_folder, is_file, is_folder
from hifigan_cli.io.locks import LOCK_FILE, PID_FILE, folder_lock
from hifigan_cli.models.model_file import MODEL_FILE
from hifigan_cli.training.checkpoint import Checkpoint, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHECKPOINT = re.compile(r"step_(\d{8,})\.safetensors")
# Temporary files of a killed save: those of `io.files.atomic_replace` and of safetensors.
_TEMPORARY_PATTERNS = (".*.tmp", ".tmp??????")


class RunFolder:
    """The files of a run.

    `model_name` is the file of the newest model; `set_aside` leaves `keep_folder` where it is, for
    the next run.
    """

    def __init__(
        self, path: Path, model_name: str = MODEL_FILE, keep_folder: str | None = None
    ) -> None:
        self.path = path
        self._keep_folder = keep_folder
        self.model = path / model_name
        self.best = path / "best.safetensors"
        self.checkpoints = path / "checkpoints"
        self.config = path / "config.toml"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.validation_audio = path / "validation_audio"

    def checkpoint(self, step: int) -> Path:
        """Return the path of the checkpoint of a step."""
        return self.checkpoints / f"step_{step:08d}.safetensors"

    def list_checkpoints(self) -> list[Path]:
        """List the checkpoints, newest first."""
        if not is_folder(self.checkpoints):
            return []
        found = [p for p in self.checkpoints.glob("*") if _CHECKPOINT.fullmatch(p.name)]
        return sorted(found, key=checkpoint_step, reverse=True)

    def prune(self, keep: int) -> None:
        """Remove all checkpoints but the newest `keep`."""
        for path in self.list_checkpoints()[keep:]:
            path.unlink(missing_ok=True)

    def clean_up(self, checkpoint: Checkpoint | None) -> None:
        """Prepare the folder for training from `checkpoint`, or from the start.

        Checkpoints newer than this one are damaged; rename them, so that `keep_checkpoints` does
        not count them. Remove temporary files of a killed save.
        """
        valid = checkpoint.path if checkpoint else None
        for path in itertools.takewhile(lambda p: p != valid, self.list_checkpoints()):
            path.replace(path.with_name(f"{path.name}.damaged"))
        for folder in (self.path, self.checkpoints, self.validation_audio):
            for pattern in _TEMPORARY_PATTERNS:
                for temporary in folder.glob(pattern):
                    temporary.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder and lock it for this process.

        Raises:
            OutputError: another process has locked it, or it cannot be created or written.
        """
        create_folder(self.checkpoints)
        with folder_lock(self.path):
            yield

    def set_aside(self) -> Path | None:
        """Rename an existing run to the first free name of RUN.1, RUN.2 ...; return the new path.

        A folder without a run is not changed.

        Raises:
            OutputError: the run is in use, or cannot be renamed.
        """
        if not is_file(self.config) and not self.list_checkpoints():
            return None
        path = self.path
        names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
        free = next(name for name in names if not os.path.lexists(name))
        with self.lock():  # fails while another process trains there
            try:
                path.replace(free)
            except OSError as error:
                raise OutputError(f"cannot rename {path} to {free}: {error.strerror}") from error
            for name in (LOCK_FILE, PID_FILE):
                (free / name).unlink(missing_ok=True)
            if self._keep_folder and is_folder(free / self._keep_folder):
                create_folder(path)
                (free / self._keep_folder).replace(path / self._keep_folder)
        return free


def checkpoint_step(path: Path) -> int:
    """Return the step in the name of a checkpoint."""
    return int(path.stem.removeprefix("step_"))


def newest_checkpoint(
    run: RunFolder, report_damaged: Callable[[str], None], kind: str
) -> Checkpoint | None:
    """Read the newest intact checkpoint; return None if the run has no checkpoints.

    Each damaged checkpoint that is skipped is passed to `report_damaged`.

    Raises:
        ModelError: all checkpoints are damaged.
    """
    saved = run.list_checkpoints()
    for path in saved:
        try:
            return read_checkpoint(path, kind)
        except ModelError as error:
            report_damaged(error.message)
    if saved:
        raise ModelError(
            f"all checkpoints in {run.checkpoints} are damaged",
            "restart with --fresh, which renames this run; --init MODEL starts from a model",
        )
    return None
