"""Work that several processes or machines share: part I of N.

Every process lists the same work in the same order and takes every N-th item of it, so nothing has
to be agreed on: a partition is a function of the list and the two numbers. They come from
`--shard I/N`, or from torchrun, which tells each process its rank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

_TORCHRUN = "TORCHELASTIC_RUN_ID"  # set by torchrun alone; RANK is set by other launchers as well


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count`, counted from 1; alone, all of the work.

    >>> Part(2, 3).of("abcdefg")
    ['b', 'e']
    """

    number: int = 1
    count: int = 1

    @property
    def whole(self) -> bool:
        """Whether there is only this part."""
        return self.count == 1

    def of(self, items: Sequence[T]) -> list[T]:
        """Return this part's items, in their order."""
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard()


def parse_part(text: str) -> Shard:
    """Read "I/N".

    Raises:
        UsageError: it is not that, or I is not one of 1 to N.

    >>> parse_part("2/4")
    Part(number=2, count=4)
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--shard {text!r} is not I/N", "write 1/4, 2/4, 3/4 and 4/4")
    number, count = (int(group) for group in match.groups())
    if not 1 <= number <= count:
        raise UsageError(f"--shard {text}: there is no such part", "the first is 1/N, the last N/N")
    return Shard(number, count)


def choose_part(text: str | None, environment: Mapping[str, str]) -> Shard:
    """Return the part that `--shard` names; else that of this process under torchrun; else all.

    Raises:
        UsageError: `text` is not I/N.
    """
    if text is not None:
        return parse_part(text)
    if under_torchrun(environment):
        return Shard(int(environment["RANK"]) + 1, int(environment["WORLD_SIZE"]))
    return WHOLE


def under_torchrun(environment: Mapping[str, str]) -> bool:
    """Tell whether torchrun started this process, and others beside it."""
    return _TORCHRUN in environment and int(environment.get("WORLD_SIZE", "1")) > 1
