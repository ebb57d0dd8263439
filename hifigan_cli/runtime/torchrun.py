"""Run one command in several processes under torchrun: assign devices, and end together.

A process that ends early under torchrun can end the others: torchrun stops them all after a nonzero
exit code, and the machine that leaves may host the rendezvous of the others. So each process waits
at the end until all are done, and only then reports the result of its shard.
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
    """Under torchrun, run the block and then wait until every process has finished its block.

    Only a process that is stopped by a signal does not wait.
    """
    if shard.covers_all or not under_torchrun(os.environ):
        yield
        return
    try:
        yield
    except InterruptedRunError:
        raise
    except HifiganError:
        _wait()
        raise
    _wait()


def _wait() -> None:
    from hifigan_cli.runtime.rendezvous import rendezvous

    rendezvous(timeout_s=math.inf)  # the others may have hours of work left


def process_device(name: str) -> str:
    """Under torchrun, return a GPU of this machine by local rank, if it has any.

    `cuda:1` and `cpu` are returned unchanged.
    """
    if name not in ("auto", "cuda") or not under_torchrun(os.environ):
        return name
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % count}" if count else name
