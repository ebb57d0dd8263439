"""One command in several processes under torchrun: their devices, and that they end together.

A process that ends early under torchrun takes the others with it: an exit code that is not 0 makes
torchrun stop them all, and a machine that leaves may take the meeting point of the others along. So
each waits at the end until all are done, and only then reports how its own shard ended.
"""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.errors import HifiganError, InterruptedRunError
from hifigan_cli.runtime.sharding import Shard, under_torchrun

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def wait_for_all(shard: Shard) -> Iterator[None]:
    """Under torchrun, do the block and then wait until every process has done its own.

    Only a process that is stopped by a signal does not wait.
    """
    if shard.whole or not under_torchrun(os.environ):
        yield
        return
    try:
        yield
    except InterruptedRunError:
        raise
    except HifiganError:
        _meet()
        raise
    _meet()


def _meet() -> None:
    from hifigan_cli.runtime.rendezvous import rendezvous

    rendezvous(timeout_s=math.inf)  # the others may have hours of work left


def device_of_process(name: str) -> str:
    """Under torchrun, give each process of a machine another of its GPUs, if it has any.

    Only a device that was left open is chosen so; `cuda:1` and `cpu` mean what they say.
    """
    if name not in ("auto", "cuda") or not under_torchrun(os.environ):
        return name
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % count}" if count else name
