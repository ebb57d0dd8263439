"""What a family of checkpoints is given, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.foreign_files import load_statistics, read_document

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import VocoderConfig

State = dict[str, "Tensor"]
Content = dict[str, Any]


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A checkpoint of another tool, and the files that were named with it.

    Attributes:
        path: its file.
        content: what is in it, tensors and plain values.
        config: the file of its configuration, where one was named.
        stats: the file of its mel's mean and scale, where one was named.
        average: whether the averaged weights (EMA) are asked for.
    """

    path: Path
    content: Content
    config: Path | None = None
    stats: Path | None = None
    average: bool = False

    def sibling(self, *names: str) -> Path:
        """Return the file of one of these names next to the checkpoint; the first if none is."""
        paths = [self.path.with_name(name) for name in names]
        return next((path for path in paths if path.is_file()), paths[0])

    def document(self, *names: str) -> tuple[Content, Path]:
        """Read the configuration that was named, or the one next to the checkpoint."""
        path = self.config or self.sibling(*names)
        return read_document(path), path

    def statistics(self, *names: str) -> tuple[Any, Path]:
        """Read the statistics of the mel that were named, or those next to the checkpoint."""
        path = self.stats or self.sibling(*names)
        if not path.is_file():
            raise ModelError(
                f"no statistics at {path}",
                f"--stats names the {' or '.join(names)} of the checkpoint",
            )
        return load_statistics(path), path


@dataclass(frozen=True)
class Imported:
    """A generator under our names.

    Attributes:
        config: the mel that it reads, and its architecture.
        state: its weights under the official names, with weight norm or without.
        notes: what its user should know.
    """

    config: VocoderConfig
    state: State
    notes: tuple[str, ...] = ()


class CheckpointFamily(Protocol):
    """A module of this package: a family of checkpoints, with a name for messages."""

    NAME: str

    def recognizes(self, content: Content) -> bool:
        """Tell from its content whether a checkpoint is of this family."""
        ...

    def convert(self, source: ForeignCheckpoint) -> Imported:
        """Read a checkpoint of this family.

        Raises:
            ModelError: it lacks something, or has something that no model file describes.
        """
        ...
