"""The interface of a checkpoint family: its input and its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.foreign_files import load_statistics, read_document

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import VocoderConfig

StateDict = dict[str, "Tensor"]
Content = dict[str, Any]


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A checkpoint of another tool, and the files that the user named with it.

    Attributes:
        path: the checkpoint file.
        content: its tensors and plain values.
        config: the configuration file, if the user named one.
        stats: the file with the mean and scale of the mel, if the user named one.
        ema: whether to read the averaged weights (EMA).
    """

    path: Path
    content: Content
    config: Path | None = None
    stats: Path | None = None
    ema: bool = False

    def sibling(self, *names: str) -> Path:
        """Return the first of these files that exists next to the checkpoint, or else the first."""
        paths = [self.path.with_name(name) for name in names]
        return next((path for path in paths if path.is_file()), paths[0])

    def read_config(self, *names: str) -> tuple[Content, Path]:
        """Read the named configuration, or the one next to the checkpoint; return its path too."""
        path = self.config or self.sibling(*names)
        return read_document(path), path

    def read_statistics(self, *names: str) -> tuple[Any, Path]:
        """Read the named mel statistics, or those next to the checkpoint; return their path too."""
        path = self.stats or self.sibling(*names)
        if not path.is_file():
            raise ModelError(
                f"the mel statistics are missing: {path}",
                f"name the {' or '.join(names)} of the checkpoint with --stats",
            )
        return load_statistics(path), path


@dataclass(frozen=True)
class ImportedGenerator:
    """A generator in the names of this package.

    Attributes:
        config: its mel settings and architecture.
        state: its weights under the official names, with or without weight norm.
        notes: notes for the user.
    """

    config: VocoderConfig
    state: StateDict
    notes: tuple[str, ...] = ()


class CheckpointFamily(Protocol):
    """The interface of a module in `families`; `NAME` is shown in messages."""

    NAME: str

    def recognizes(self, content: Content) -> bool:
        """Return whether a checkpoint with this content belongs to the family."""
        ...

    def convert(self, source: ForeignCheckpoint) -> ImportedGenerator:
        """Read a checkpoint of this family.

        Raises:
            ModelError: if something is missing, or a model file cannot describe it.
        """
        ...
