"""Processes of a restarted run find each other, not those that are dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from torch._C._distributed_c10d import HashStore, Store

from hifigan_cli.errors import DeviceError
from hifigan_cli.runtime import rendezvous as meeting


class Attempt:
    """Processes of one attempt, as threads; each asks for the store with its own rank."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, world: int) -> None:
        self.found: dict[int, bytes] = {}
        ranks = threading.local()

        def rendezvous(_url: str, **_options: object) -> Iterator[tuple[Store, int, int]]:
            yield store, ranks.rank, world

        monkeypatch.setattr(meeting, "torch_rendezvous", rendezvous)

        def member(rank: int) -> None:
            ranks.rank = rank
            ours, _, _ = meeting.rendezvous(timeout_s=20)
            if rank == 0:
                ours.set("who", f"{id(self)}")
            self.found[rank] = ours.get("who")

        self.members = {
            rank: threading.Thread(target=member, args=(rank,)) for rank in range(world)
        }

    def start(self, *ranks: int) -> None:
        """Let some of the processes begin."""
        for rank in ranks:
            self.members[rank].start()

    def met(self) -> set[bytes]:
        """Wait for all; return what they found in their store."""
        for thread in self.members.values():
            thread.join(30)
        assert len(self.found) == len(self.members)
        return set(self.found.values())


@pytest.mark.parametrize("first", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_restart_meets_anew_in_the_old_store(
    monkeypatch: pytest.MonkeyPatch, first: tuple[int, ...]
) -> None:
    """Whoever is early, also with another number of processes: nobody takes an old answer."""
    store = HashStore()
    for world, order in ((3, first), (3, first[::-1]), (2, (1, 0)), (4, (3, 1, 2, 0))):
        attempt = Attempt(monkeypatch, store, world)
        for rank in order:
            attempt.start(rank)
            time.sleep(0.12)
        assert attempt.met() == {f"{id(attempt)}".encode()}


@pytest.mark.parametrize(("rank", "missing"), [(0, "1 of 2 processes"), (1, "the first process")])
def test_a_process_that_never_comes(
    monkeypatch: pytest.MonkeyPatch, rank: int, missing: str
) -> None:
    """An end with a word, and not a wait for ever."""
    store = HashStore()
    monkeypatch.setattr(meeting, "torch_rendezvous", lambda *_a, **_o: iter([(store, rank, 2)]))
    with pytest.raises(DeviceError, match=missing):
        meeting.rendezvous(timeout_s=0.2)
