"""Processes that render pairs while the device trains.

Each process has a pipe of its own and blocks until its pairs are taken. If the parent is gone, the
pipe breaks and the process ends.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

Mels = npt.NDArray[np.float16]

_AT_ONCE = 2  # pairs per message
_JOIN_S = 2.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class RenderingPlan(NamedTuple):
    """What all processes render.

    Attributes:
        folder: an unpacked corpus.
        validation_pairs: pairs of held-out recordings, rendered first.
        unfiltered: leave DeepFilterNet3 out, for tests without it.
    """

    folder: Path
    seed: int
    frames: int
    validation_pairs: int
    unfiltered: bool = False


class Rendered(NamedTuple):
    """Pairs as log-mels `(pairs, 3, frames, n_mels)`, and their numbers."""

    validation: bool
    numbers: list[int]
    mels: Mels


class RenderWorkers:
    """Starts the processes and collects what they render; a context manager.

    `first` is the number of the first training pair, so that a second leg sees other pairs.
    """

    def __init__(self, plan: RenderingPlan, workers: int, first: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._taken: deque[Rendered] = deque()
        self._connections: list[Connection] = []
        self._processes = []
        before = {name: os.environ.get(name) for name in _THREADS}
        # One thread each: these are read when a process imports numpy, so they are set here.
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        try:
            for worker in range(workers):
                ours, theirs = context.Pipe(duplex=False)
                arguments = (theirs, plan, worker, workers, first)
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
                theirs.close()  # the process has the only end: when it ends, the pipe ends
                self._processes.append(process)
                self._connections.append(ours)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_JOIN_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._thread.join(_JOIN_S)

    def alive(self) -> bool:
        """Return whether any process can still render."""
        return any(process.is_alive() for process in self._processes)

    def take(self) -> list[Rendered]:
        """Return what was rendered since the last call, without waiting."""
        return [self._taken.popleft() for _ in range(len(self._taken))]

    def _collect(self) -> None:
        """Receive until all pipes have ended."""
        left: list[Connection] = list(self._connections)
        while left:
            for connection in wait(left):
                assert isinstance(connection, Connection)
                try:
                    self._taken.append(Rendered(*connection.recv()))
                except (EOFError, OSError):
                    left.remove(connection)
                    connection.close()


def _work(
    connection: Connection, plan: RenderingPlan, worker: int, workers: int, first: int
) -> None:
    """Render this process's share: validation pairs, then training pairs without end."""
    from tests.tools.deepfilter import DeepFilter
    from tests.tools.gpu.pairs import BatchPairRenderer
    from tests.tools.gpu.unpack import open_corpus

    os.nice(5)  # the process that feeds the device goes first
    noise_filter = unfiltered if plan.unfiltered else DeepFilter()
    corpus = open_corpus(plan.folder)
    validation = BatchPairRenderer(
        corpus, noise_filter, plan.seed, validation=True, frames=plan.frames
    )
    training = BatchPairRenderer(corpus, noise_filter, plan.seed, frames=plan.frames)
    try:
        for number in range(worker, plan.validation_pairs, workers):
            connection.send(Rendered(True, [number], validation.mels(number)[None]))
        number = first + worker
        while True:
            numbers = [number + workers * k for k in range(_AT_ONCE)]
            mels = np.stack([training.mels(n) for n in numbers])
            connection.send(Rendered(False, numbers, mels))
            number += workers * _AT_ONCE
    except (BrokenPipeError, KeyboardInterrupt):
        pass


def unfiltered(wave: npt.NDArray[np.float64], _sample_rate: int) -> npt.NDArray[np.float32]:
    """Stand in for DeepFilterNet3 in tests."""
    return wave.astype(np.float32)
