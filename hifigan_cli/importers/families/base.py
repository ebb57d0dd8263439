"""What a family of checkpoints is, and what it makes of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hifigan_cli.importers.loading.documents import read_document

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import VocoderConfig

State = dict[str, "Tensor"]
Content = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A checkpoint, and what was named beside it.

    Attributes:
        checkpoint: its file.
        content: what is in it, tensors and plain values.
        config: the file of its configuration, where one was named.
        stats: the file of its mel's mean and scale, where one was named.
        average: whether the averaged weights (EMA) are asked for.
    """

    checkpoint: Path
    content: Content
    config: Path | None = None
    stats: Path | None = None
    average: bool = False

    def beside(self, *names: str) -> Path:
        """Return the file of one of these names beside the checkpoint; the first if none is."""
        paths = [self.checkpoint.with_name(name) for name in names]
        return next((path for path in paths if path.is_file()), paths[0])

    def document(self, *names: str) -> tuple[Content, Path]:
        """Read the configuration: the one that was named, or the one beside the checkpoint.

        Raises:
            ModelError: there is none, or it is no mapping.
        """
        path = self.config or self.beside(*names)
        return read_document(path), path


@dataclass(frozen=True)
class Imported:
    """A generator in our terms.

    Attributes:
        config: the mel that it reads, and its architecture.
        state: its weights under the official names, with weight norm or without.
        notes: what its user should know.
    """

    config: VocoderConfig
    state: State
    notes: tuple[str, ...] = ()


class Family(Protocol):
    """A module of this package.

    Attributes:
        NAME: of the family.
    """

    NAME: str

    def recognises(self, content: Content) -> bool:
        """Tell from what is in it whether a checkpoint is of this family."""
        ...

    def convert(self, source: Source) -> Imported:
        """Read a checkpoint of this family.

        Raises:
            ModelError: it lacks something, or has something that no model file describes.
        """
        ...
