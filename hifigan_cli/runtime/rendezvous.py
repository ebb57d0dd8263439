"""Processes that torchrun started find each other, and a place of their own in its store.

torchrun keeps one store over all its restarts (torch 2.14). What a process of an earlier attempt
wrote there, such as the address it could be reached at, is still there in the next, and torch would
connect to the dead. So the first process makes up a name for this attempt, and the others take it
only once the first has answered each of them under that name, which nobody of an earlier attempt
can do. All that follows is written below the name.
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

_LOOK_EVERY_S = 0.05  # not by waiting in the store, which would be deaf to signals
_TIMEOUT_S = 600.0


def rendezvous(timeout_s: float = _TIMEOUT_S) -> tuple[PrefixStore, int, int]:
    """Wait until every process of this attempt is here; return the store, the rank, the world.

    Raises:
        DeviceError: some did not come in time.
    """
    store, rank, world = next(torch_rendezvous("env://", timeout=timedelta(seconds=_TIMEOUT_S)))
    deadline = time.monotonic() + timeout_s
    name = _lead(store, world, deadline) if rank == 0 else _follow(store, rank, deadline)
    return PrefixStore(name, store), rank, world


def _lead(store: Store, world: int, deadline: float) -> str:
    """Name the attempt; answer each process that gives its own name, until all have the answer."""
    name = uuid.uuid4().hex
    store.set("hifigan/attempt", name)
    absent = set(range(1, world))
    while absent:
        for rank in sorted(absent):
            if store.check([f"hifigan/here/{rank}"]):
                # Perhaps of a process of an earlier attempt; then nobody reads the answer.
                theirs = store.get(f"hifigan/here/{rank}").decode()
                store.set(f"hifigan/{name}/answer/{theirs}", "")
            if store.check([f"hifigan/{name}/answered/{rank}"]):
                absent.remove(rank)
        if absent:
            _pause(deadline, f"{len(absent)} of {world} processes did not come")
    return name


def _follow(store: Store, rank: int, deadline: float) -> str:
    """Give this process's name until the first has answered; return the attempt's name."""
    mine = uuid.uuid4().hex
    store.set(f"hifigan/here/{rank}", mine)
    while True:
        if store.check(["hifigan/attempt"]):
            name = store.get("hifigan/attempt").decode()  # perhaps of an earlier attempt still
            if store.check([f"hifigan/{name}/answer/{mine}"]):
                store.set(f"hifigan/{name}/answered/{rank}", "")
                return name
        _pause(deadline, "the first process did not come")


def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise DeviceError(
            f"the processes of this run did not meet: {what}",
            "look at the messages of the others, or whether the machines reach each other",
        )
    time.sleep(_LOOK_EVERY_S)
