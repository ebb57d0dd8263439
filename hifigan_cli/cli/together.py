"""One command in several processes: which part each does, and that they end together.

A process that ends early under torchrun takes the others with it: an exit code that is not 0 makes
torchrun stop them all, and a machine that leaves may take the meeting point of the others along. So
each waits at the end until all are done, and only then says how its own part ended.
"""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.errors import HifiganError, InterruptedRunError
from hifigan_cli.runtime.sharding import Shard, choose_part, under_torchrun

if TYPE_CHECKING:
    from collections.abc import Iterator


def chosen_part(shard: str | None) -> Shard:
    """Return the part of the work that `--shard` or torchrun gives to this process.

    Raises:
        UsageError: `shard` is not I/N.
    """
    return choose_part(shard, os.environ)


@contextmanager
def together(part: Shard) -> Iterator[None]:
    """Under torchrun, do the block and then wait until every process has done its own.

    Only a process that is stopped by a signal does not wait.
    """
    if part.whole or not under_torchrun(os.environ):
        yield
        return
    try:
        yield
    except InterruptedRunError:
        raise
    except HifiganError:
        _wait_for_all()
        raise
    _wait_for_all()


def _wait_for_all() -> None:
    from hifigan_cli.runtime.rendezvous import rendezvous

    rendezvous(timeout_s=math.inf)  # the others may have hours of work left


def own_device(name: str) -> str:
    """Under torchrun, let each process of a machine take another of its GPUs, if it has any.

    Only a device that was left open is chosen so; `cuda:1` and `cpu` mean what they say.
    """
    if name not in ("auto", "cuda") or not under_torchrun(os.environ):
        return name
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % count}" if count else name
