"""Work that several processes or machines share: shard I of N.

Every process lists the same work in the same order and takes every N-th item of it, so nothing has
to be agreed on. The two numbers come from `--shard I/N`, or from torchrun, which gives each process
its rank.
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
    """Shard `number` of `count`, counted from 1; by default, all of the work.

    >>> Shard(2, 3).of("abcdefg")
    ['b', 'e']
    """

    number: int = 1
    count: int = 1

    @property
    def whole(self) -> bool:
        """Whether there is only this shard."""
        return self.count == 1

    def of(self, items: Sequence[T]) -> list[T]:
        """Return this shard's items, in their order."""
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard()


def choose_shard(text: str | None, environment: Mapping[str, str]) -> Shard:
    """Return the shard that `--shard` names; else that of this process under torchrun; else all.

    Raises:
        UsageError: `text` is not I/N, or I is not one of 1 to N.

    >>> choose_shard("2/4", {})
    Shard(number=2, count=4)
    """
    if text is None:
        if under_torchrun(environment):
            return Shard(int(environment["RANK"]) + 1, int(environment["WORLD_SIZE"]))
        return WHOLE
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--shard {text!r} is not I/N", "write 1/4, 2/4, 3/4 and 4/4")
    number, count = (int(group) for group in match.groups())
    if not 1 <= number <= count:
        raise UsageError(f"--shard {text}: no such shard", "the first is 1/N, the last N/N")
    return Shard(number, count)


def under_torchrun(environment: Mapping[str, str]) -> bool:
    """Return whether torchrun started this process, and others next to it."""
    return _TORCHRUN in environment and int(environment.get("WORLD_SIZE", "1")) > 1
