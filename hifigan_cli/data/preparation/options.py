"""What a user may choose, which of it changes the result, and how a run reports its progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.config import MelConfig
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import is_folder
from hifigan_cli.runtime.sharding import WHOLE
from hifigan_cli.runtime.threads import processors

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard

MIN_LENGTH_S = 0.2
SHARD_BYTES = 2**30  # 6.8 hours at 22 050 Hz


@dataclass(frozen=True)
class PreparationOptions:
    """How a corpus is prepared.

    Attributes:
        mel: gives the rate; with given mels also their convention.
        mels: folder of given mels, one STEM.npy a clip; None prepares only recordings.
        trim: whether silence at both ends is cut.
        min_length_s: shorter clips are left out.
        validation: a share below 1 or a count of clips; None is the official split of LJSpeech,
            elsewhere 5 %, at least 1 and at most 150 clips.
        seed: decides the split where it is not official.
        shard_bytes: the largest size of a packed file, unless a single clip is larger.
        workers: processes; None takes one for each core.
        force: whether another result in the output folder is replaced.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    mels: Path | None = None
    trim: bool = False
    min_length_s: float = MIN_LENGTH_S
    validation: float | int | None = None
    seed: int = 1234
    shard_bytes: int = SHARD_BYTES
    workers: int | None = None
    force: bool = False

    @property
    def sample_rate(self) -> int:
        """Rate of the prepared samples."""
        return self.mel.sample_rate

    @property
    def processes(self) -> int:
        """How many processes to use."""
        return self.workers or processors()

    def check(self, shard: Shard = WHOLE) -> None:
        """Check that the choices go together, and with a shard of the work.

        Raises:
            UsageError: they do not.
        """
        if self.mels is not None and not is_folder(self.mels):
            raise UsageError(
                f"--mels {self.mels} is not a folder", "give the folder that holds STEM.npy"
            )
        if self.trim and self.mels is not None:
            raise UsageError(
                "--trim and --mels do not go together: a given mel belongs to the whole clip"
            )
        if self.force and not shard.whole:
            raise UsageError(
                "--force and several parts do not go together: one would remove what another makes",
                "remove the folder first, or let one process replace it",
            )
        if self.validation is not None and self.validation <= 0:
            raise UsageError(
                f"--validation {self.validation} leaves nothing to judge by",
                "give a share such as 0.05 or a count such as 150",
            )

    def lasting(self) -> dict[str, Any]:
        """Return what changes the result, as JSON-able values."""
        return {
            "sample_rate": self.sample_rate,
            "trim": self.trim,
            "min_length_s": self.min_length_s,
            "validation": self.validation,
            "seed": self.seed,
            "shard_bytes": self.shard_bytes,
            "mels": self.mel.model_dump() if self.mels is not None else None,
        }


@dataclass(frozen=True)
class PreparationProgress:
    """How far a run is: `done` of `total` files, `current` the last one."""

    stage: Literal["preparing", "comparing"]
    done: int
    total: int
    current: str
