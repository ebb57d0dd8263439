"""Forward passes as CUDA graphs: one launch instead of one for each kernel.

At batch 1 the kernels of a generator are short, and to launch its two or three hundred takes
longer than to run them. A graph is one launch. It is captured for one shape, in memory that stays
taken, so one is captured when a shape comes the second time: the chunks of long mels and streams,
and batches, have few shapes, but files of their own lengths would each pay for a graph that no
other uses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]

# Batch times frames. In longer calls kernels take far longer than launches, and memory counts.
MOST_FRAMES = 8192
MOST_GRAPHS = 8
_REMEMBERED = 256  # shapes that came once
_WARM_UPS = 2  # libraries choose algorithms and take their memory in the first runs


class CapturedGraph(NamedTuple):
    """A forward pass, ready to be repeated: `replay` computes `samples` from what `mel` holds."""

    mel: Tensor
    samples: Tensor
    replay: Callable[[], None]


class Graphs:
    """A network whose forward pass is captured for shapes that come again.

    Where capturing fails, for want of memory or because a kernel cannot be captured, everything
    runs as it would without. Calls from several threads wait for each other.

    Attributes:
        failure: why nothing is captured any more; None: all is well.
    """

    def __init__(
        self, network: Network, capture: Callable[[Network, Tensor], CapturedGraph] | None = None
    ) -> None:
        """Wrap a network; `capture` turns a forward pass into a graph, here a CUDA graph."""
        self.failure: str | None = None
        self._network = network
        self._capture = capture or CudaCapture()
        self._graphs: OrderedDict[tuple[int, ...], CapturedGraph] = OrderedDict()
        self._once: OrderedDict[tuple[int, ...], None] = OrderedDict()
        self._lock = Lock()

    def __call__(self, mel: Tensor) -> Tensor:
        """Run the network on a mel `(batch, ..., frames)`.

        Raises:
            torch.OutOfMemoryError: what the graphs hold has been given back.
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
        if self.failure or shape[0] * shape[-1] > MOST_FRAMES:
            return None
        if shape in self._graphs:
            self._graphs.move_to_end(shape)
            return self._graphs[shape]
        if shape not in self._once:
            self._once[shape] = None
            if len(self._once) > _REMEMBERED:
                self._once.popitem(last=False)
            return None
        if len(self._graphs) == MOST_GRAPHS:
            self._graphs.popitem(last=False)
        try:
            self._graphs[shape] = self._capture(self._network, mel)
        except RuntimeError as error:  # out of memory is one
            self.failure = str(error).partition("\n")[0]
            self._graphs.clear()
            return None
        return self._graphs[shape]


class CudaCapture:
    """Captures CUDA graphs, which share their memory: they never run at the same time."""

    def __init__(self) -> None:
        self._shared: tuple[Any, torch.cuda.Stream] | None = None  # a pool's handle is torch's own

    def __call__(self, network: Network, mel: Tensor) -> CapturedGraph:
        """Capture the forward pass of a network for a mel's shape and device.

        Raises:
            RuntimeError: not enough memory, or a kernel cannot be captured.
        """
        with torch.cuda.device(mel.device):
            if self._shared is None:
                self._shared = torch.cuda.graph_pool_handle(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
            pool, stream = self._shared
            given, graph = mel.clone(), torch.cuda.CUDAGraph()
            ours = torch.cuda.current_stream()
            stream.wait_stream(ours)
            try:
                with torch.cuda.stream(stream):
                    for _ in range(_WARM_UPS):
                        network(given)
                # What other threads do with the GPU meanwhile is no error of this one's.
                mode = "thread_local"
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode=mode):
                    samples = network(given)
            finally:  # a capture that fails leaves its own stream in place
                torch.cuda.set_stream(ours)
            ours.wait_stream(stream)
        return CapturedGraph(given, samples, graph.replay)
