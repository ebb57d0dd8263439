"""Split work among processes or machines: shard I of N.

Every process lists the same work in the same order and takes every N-th item, so the processes need
not communicate. I and N come from `--shard I/N`, or from torchrun, which gives each process its
rank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

_TORCHRUN = "TORCHELASTIC_RUN_ID"  # only torchrun sets it; other launchers set RANK too


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `number` of `count`, counted from 1; by default all of the work.

    >>> Shard(2, 3).select("abcdefg")
    ['b', 'e']
    """

    number: int = 1
    count: int = 1

    @property
    def covers_all(self) -> bool:
        """Whether this is the only shard."""
        return self.count == 1

    def select(self, items: Sequence[T]) -> list[T]:
        """Return this shard's items, in order."""
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


UNSHARDED = Shard()


def resolve_shard(text: str | None, environment: Mapping[str, str]) -> Shard:
    """Return the shard of `--shard`, or of this process under torchrun, or all of the work.

    Raises:
        UsageError: `text` is not I/N, or I is not in 1 to N.

    >>> resolve_shard("2/4", {})
    Shard(number=2, count=4)
    """
    if text is None:
        if under_torchrun(environment):
            return Shard(int(environment["RANK"]) + 1, int(environment["WORLD_SIZE"]))
        return UNSHARDED
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--shard {text!r} is not I/N", "write 1/4, 2/4, 3/4 or 4/4")
    number, count = (int(group) for group in match.groups())
    if not 1 <= number <= count:
        raise UsageError(f"--shard {text} does not exist", "the first shard is 1/N, the last N/N")
    return Shard(number, count)


def under_torchrun(environment: Mapping[str, str]) -> bool:
    """Return whether torchrun started this process and others."""
    return _TORCHRUN in environment and int(environment.get("WORLD_SIZE", "1")) > 1
