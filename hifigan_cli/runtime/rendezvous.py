"""Connect the processes that torchrun started, under a separate prefix in its store.

torchrun uses one store for all its restarts (torch 2.14). Entries from an earlier attempt, such as
the address of a process, are still there in the next, and torch would connect to dead processes. So
the first process chooses a new prefix for this attempt. The others use it only after the first has
acknowledged each of them under that prefix, which no process of an earlier attempt can do. All
later entries are written under the prefix.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous as torch_rendezvous

from hifigan_cli.errors import DeviceError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_POLL_S = 0.05  # a blocking wait in the store would not react to signals
_TIMEOUT = timedelta(minutes=10)


def rendezvous(timeout_s: float = _TIMEOUT.total_seconds()) -> tuple[PrefixStore, int, int]:
    """Wait until every process of this attempt has joined; return store, rank and world size.

    Raises:
        DeviceError: some did not join in time.
    """
    store, rank, world_size = next(torch_rendezvous("env://", timeout=_TIMEOUT))
    deadline = time.monotonic() + timeout_s
    prefix = _coordinate(store, world_size, deadline) if rank == 0 else _join(store, rank, deadline)
    return PrefixStore(prefix, store), rank, world_size


def _coordinate(store: Store, world_size: int, deadline: float) -> str:
    """Choose the prefix, acknowledge each process that posts an id, until all have confirmed."""
    prefix = uuid.uuid4().hex
    store.set("hifigan/attempt", prefix)
    absent = set(range(1, world_size))
    while absent:
        for rank in sorted(absent):
            if store.check([f"hifigan/hello/{rank}"]):
                # The id may be from an earlier attempt; then no process reads the acknowledgement.
                process_id = store.get(f"hifigan/hello/{rank}").decode()
                store.set(f"hifigan/{prefix}/ack/{process_id}", "")
            if store.check([f"hifigan/{prefix}/confirmed/{rank}"]):
                absent.remove(rank)
        if absent:
            _pause(deadline, f"{len(absent)} of {world_size} processes did not join")
    return prefix


def _join(store: Store, rank: int, deadline: float) -> str:
    """Post this process's id, wait until the first process acknowledges it, return the prefix."""
    process_id = uuid.uuid4().hex
    store.set(f"hifigan/hello/{rank}", process_id)
    while True:
        if store.check(["hifigan/attempt"]):
            prefix = store.get("hifigan/attempt").decode()  # may be from an earlier attempt
            if store.check([f"hifigan/{prefix}/ack/{process_id}"]):
                store.set(f"hifigan/{prefix}/confirmed/{rank}", "")
                return prefix
        _pause(deadline, "the first process did not join")


def _pause(deadline: float, reason: str) -> None:
    if time.monotonic() > deadline:
        raise DeviceError(
            f"the processes of this run could not connect: {reason}",
            "check the output of the other processes, and that the machines can reach each other",
        )
    time.sleep(_POLL_S)
