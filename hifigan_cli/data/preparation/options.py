"""The options of a preparation, and its progress reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.config import MelConfig
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import is_folder
from hifigan_cli.runtime.sharding import UNSHARDED
from hifigan_cli.runtime.threads import available_cpus

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard

MIN_LENGTH_S = 0.2
MAX_FILE_BYTES = 2**30  # 6.8 hours at 22 050 Hz


@dataclass(frozen=True)
class PreparationOptions:
    """The options of a preparation.

    Attributes:
        mel: determines the sample rate; with input mels, describes them.
        mels: folder of input mels, one STEM.npy per clip; None prepares only recordings.
        trim: whether to cut silence at both ends.
        min_length_s: reject shorter clips.
        validation: a fraction below 1 or a count of clips; None is the official split of LJSpeech,
            otherwise 5 %, at least 1 and at most 150 clips.
        seed: determines the split unless it is official.
        max_file_bytes: maximum size of a packed file, unless a single clip is larger.
        workers: number of processes; None uses one per CPU.
        force: whether to replace another result in the output folder.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    mels: Path | None = None
    trim: bool = False
    min_length_s: float = MIN_LENGTH_S
    validation: float | int | None = None
    seed: int = 1234
    max_file_bytes: int = MAX_FILE_BYTES
    workers: int | None = None
    force: bool = False

    @property
    def sample_rate(self) -> int:
        """The sample rate of the prepared samples."""
        return self.mel.sample_rate

    @property
    def processes(self) -> int:
        """The number of processes."""
        return self.workers or available_cpus()

    def check(self, shard: Shard = UNSHARDED) -> None:
        """Check that the options are compatible with each other and with a shard.

        Raises:
            UsageError: options conflict, or a value is invalid.
        """
        if self.mels is not None and not is_folder(self.mels):
            raise UsageError(
                f"--mels {self.mels} is not a folder", "use the folder with the STEM.npy files"
            )
        if self.trim and self.mels is not None:
            raise UsageError(
                "--trim cannot be combined with --mels, because a mel covers the complete clip"
            )
        if self.force and not shard.covers_all:
            raise UsageError(
                "--force cannot be combined with --shard, because one shard would remove the files "
                "of another",
                "remove the folder first, or run --force without --shard",
            )
        if self.validation is not None and self.validation <= 0:
            raise UsageError(
                f"--validation {self.validation} leaves no validation clips",
                "use a fraction such as 0.05 or a count such as 150",
            )

    def result_options(self) -> dict[str, Any]:
        """Return the options that change the result, as JSON-compatible values."""
        return {
            "sample_rate": self.sample_rate,
            "trim": self.trim,
            "min_length_s": self.min_length_s,
            "validation": self.validation,
            "seed": self.seed,
            "max_file_bytes": self.max_file_bytes,
            "mels": self.mel.model_dump() if self.mels is not None else None,
        }


@dataclass(frozen=True)
class PreparationProgress:
    """The progress of a run: `done` of `total` files; `current` is the latest one."""

    stage: Literal["preparing", "comparing"]
    done: int
    total: int
    current: str
