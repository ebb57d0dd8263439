"""Processes of a restarted run connect to each other, not to dead processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from torch._C._distributed_c10d import HashStore, Store

from hifigan_cli.errors import DeviceError
from hifigan_cli.runtime import rendezvous


class Attempt:
    """The processes of one attempt, as threads with different ranks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, world_size: int) -> None:
        self.values: dict[int, bytes] = {}
        ranks = threading.local()

        def torch_rendezvous(_url: str, **_options: object) -> Iterator[tuple[Store, int, int]]:
            yield store, ranks.rank, world_size

        monkeypatch.setattr(rendezvous, "torch_rendezvous", torch_rendezvous)

        def member(rank: int) -> None:
            ranks.rank = rank
            prefix_store, _, _ = rendezvous.rendezvous(timeout_s=20)
            if rank == 0:
                prefix_store.set("attempt", f"{id(self)}")
            self.values[rank] = prefix_store.get("attempt")

        self.members = {
            rank: threading.Thread(target=member, args=(rank,)) for rank in range(world_size)
        }

    def start(self, *ranks: int) -> None:
        """Start some of the processes."""
        for rank in ranks:
            self.members[rank].start()

    def join(self) -> set[bytes]:
        """Wait for all processes; return the values that they read from their stores."""
        for thread in self.members.values():
            thread.join(30)
        assert len(self.values) == len(self.members)
        return set(self.values.values())


@pytest.mark.parametrize("first", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_restarts_ignore_earlier_attempts(
    monkeypatch: pytest.MonkeyPatch, first: tuple[int, ...]
) -> None:
    """In any order and with any number of processes, none uses an entry of an earlier attempt."""
    store = HashStore()
    for world_size, order in ((3, first), (3, first[::-1]), (2, (1, 0)), (4, (3, 1, 2, 0))):
        attempt = Attempt(monkeypatch, store, world_size)
        for rank in order:
            attempt.start(rank)
            time.sleep(0.12)
        assert attempt.join() == {f"{id(attempt)}".encode()}


@pytest.mark.parametrize(("rank", "missing"), [(0, "1 of 2"), (1, "first process")])
def test_missing_process_raises_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch, rank: int, missing: str
) -> None:
    """A process that never joins is an error and not an endless wait."""
    store = HashStore()
    monkeypatch.setattr(rendezvous, "torch_rendezvous", lambda *_a, **_o: iter([(store, rank, 2)]))
    with pytest.raises(DeviceError, match=missing):
        rendezvous.rendezvous(timeout_s=0.2)
