"""Forward passes as CUDA graphs: one launch instead of one per kernel.

At batch 1 the kernels of a generator are short, and launching its two or three hundred takes longer
than running them. A graph is one launch. It is captured for one shape, in memory that it keeps, so
a graph is captured the second time a shape occurs. Batches and the chunks of long mels and streams
have few shapes, but files of different lengths would each pay for a graph that is used once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]

# Batch times frames. In longer calls kernels take far longer than launches, and memory is scarce.
MAX_FRAMES = 8192
MAX_GRAPHS = 8
_MAX_SEEN_SHAPES = 256  # seen once
_WARM_UP_RUNS = 2  # libraries choose algorithms and allocate their memory in the first runs


class CapturedGraph(NamedTuple):
    """A captured forward pass: `replay` computes `samples` from the contents of `mel`."""

    mel: Tensor
    samples: Tensor
    replay: Callable[[], None]


class CudaGraphRunner:
    """Runs a network, with a CUDA graph for each shape that comes again.

    If a capture fails, because memory is short or a kernel cannot be captured, every call runs
    without graphs from then on. Calls from several threads wait for each other.

    Attributes:
        failure: why graphs are no longer captured, or None.
    """

    def __init__(
        self, network: Network, capture: Callable[[Network, Tensor], CapturedGraph] | None = None
    ) -> None:
        """Wrap a network; `capture` turns a forward pass into a graph, by default a CUDA graph."""
        self.failure: str | None = None
        self._network = network
        self._capture = capture or CudaGraphCapture()
        self._graphs: OrderedDict[tuple[int, ...], CapturedGraph] = OrderedDict()
        self._seen_once: OrderedDict[tuple[int, ...], None] = OrderedDict()
        self._lock = Lock()

    def __call__(self, mel: Tensor) -> Tensor:
        """Run the network on a mel `(batch, ..., frames)`.

        Raises:
            torch.OutOfMemoryError: the memory of the graphs has been freed.
        """
        with self._lock:
            graph = self._graph(mel)
            if graph is None:
                try:
                    return self._network(mel)
                except torch.OutOfMemoryError:
                    self._graphs.clear()
                    raise
            graph.mel.copy_(mel)
            graph.replay()
            return graph.samples.clone()

    def _graph(self, mel: Tensor) -> CapturedGraph | None:
        shape = tuple(mel.shape)
        if self.failure or shape[0] * shape[-1] > MAX_FRAMES:
            return None
        if shape in self._graphs:
            self._graphs.move_to_end(shape)
            return self._graphs[shape]
        if shape not in self._seen_once:
            self._seen_once[shape] = None
            if len(self._seen_once) > _MAX_SEEN_SHAPES:
                self._seen_once.popitem(last=False)
            return None
        if len(self._graphs) == MAX_GRAPHS:
            self._graphs.popitem(last=False)
        try:
            self._graphs[shape] = self._capture(self._network, mel)
        except RuntimeError as error:  # includes OutOfMemoryError
            self.failure = str(error).partition("\n")[0]
            self._graphs.clear()
            return None
        return self._graphs[shape]


class CudaGraphCapture:
    """Captures CUDA graphs that share one memory pool, because they never run at the same time."""

    def __init__(self) -> None:
        self._shared: tuple[Any, torch.cuda.Stream] | None = None  # the handle's type is private

    def __call__(self, network: Network, mel: Tensor) -> CapturedGraph:
        """Capture the forward pass of a network for the shape and device of a mel.

        Raises:
            RuntimeError: memory is short, or a kernel cannot be captured.
        """
        with torch.cuda.device(mel.device):
            if self._shared is None:
                self._shared = torch.cuda.graph_pool_handle(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
            pool, stream = self._shared
            static_mel, graph = mel.clone(), torch.cuda.CUDAGraph()
            current_stream = torch.cuda.current_stream()
            stream.wait_stream(current_stream)
            try:
                with torch.cuda.stream(stream):
                    for _ in range(_WARM_UP_RUNS):
                        network(static_mel)
                # Other threads may use the GPU during the capture.
                mode = "thread_local"
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=mode):
                    samples = network(static_mel)
            finally:  # a failed capture leaves its own stream current
                torch.cuda.set_stream(current_stream)
            current_stream.wait_stream(stream)
        return CapturedGraph(static_mel, samples, graph.replay)
