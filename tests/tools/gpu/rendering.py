"""Render pairs in several processes while the device trains.

Each process has its own pipe and blocks until its pairs are received. If the parent has ended, the
pipe breaks and the process ends too.
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

_PAIRS_PER_MESSAGE = 2
_JOIN_TIMEOUT_S = 2.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class RenderingPlan(NamedTuple):
    """The options of all processes.

    Attributes:
        folder: an unpacked corpus.
        validation_pairs: pairs of held-out recordings, rendered first.
        unfiltered: replace DeepFilterNet3 by the identity, for tests.
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
    """Start the processes and collect the pairs; a context manager.

    `first` is the number of the first training pair, so that a second session gets other pairs.
    """

    def __init__(self, plan: RenderingPlan, workers: int, first: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._received: deque[Rendered] = deque()
        self._connections: list[Connection] = []
        self._processes = []
        before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
        # One thread per process. numpy reads these variables when a process imports it.
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
        try:
            for worker in range(workers):
                receiver, sender = context.Pipe(duplex=False)
                arguments = (sender, plan, worker, workers, first)
                process = context.Process(target=_render_pairs, args=arguments, daemon=True)
                process.start()
                sender.close()  # only the process has this end, so the pipe ends with the process
                self._processes.append(process)
                self._connections.append(receiver)
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
            process.join(_JOIN_TIMEOUT_S)
            if process.is_alive():
                process.kill()
                process.join()
        self._thread.join(_JOIN_TIMEOUT_S)

    def alive(self) -> bool:
        """Return whether any process can still render."""
        return any(process.is_alive() for process in self._processes)

    def receive(self) -> list[Rendered]:
        """Return the pairs rendered since the last call, without waiting."""
        return [self._received.popleft() for _ in range(len(self._received))]

    def _collect(self) -> None:
        """Receive pairs until all pipes have ended."""
        open_connections: list[Connection] = list(self._connections)
        while open_connections:
            for connection in wait(open_connections):
                assert isinstance(connection, Connection)
                try:
                    self._received.append(Rendered(*connection.recv()))
                except (EOFError, OSError):
                    open_connections.remove(connection)
                    connection.close()


def _render_pairs(
    connection: Connection, plan: RenderingPlan, worker: int, workers: int, first: int
) -> None:
    """Render the pairs of one process: validation pairs, then training pairs without end."""
    from tests.tools.deepfilter import DeepFilter
    from tests.tools.gpu.pairs import BatchPairRenderer
    from tests.tools.gpu.unpack import open_corpus

    os.nice(5)  # the process that feeds the device has priority
    noise_filter = identity_filter if plan.unfiltered else DeepFilter()
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
            numbers = [number + workers * k for k in range(_PAIRS_PER_MESSAGE)]
            mels = np.stack([training.mels(n) for n in numbers])
            connection.send(Rendered(False, numbers, mels))
            number += workers * _PAIRS_PER_MESSAGE
    except (BrokenPipeError, KeyboardInterrupt):
        pass


def identity_filter(wave: npt.NDArray[np.float64], _sample_rate: int) -> npt.NDArray[np.float32]:
    """Replace DeepFilterNet3 in tests."""
    return wave.astype(np.float32)
