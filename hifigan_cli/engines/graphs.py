"""Forward passes as CUDA graphs: a GPU is told once what to do, not kernel by kernel.

At batch 1 the kernels of a generator are short, and to launch its two or three hundred takes
longer than to run them. A graph is one launch. It is recorded for one shape, in memory that stays
taken, so one is made when a shape comes the second time: the chunks of long mels and streams, and
batches, have few shapes, but files of their own lengths would each pay for a recording that no
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
_WARM_UPS = 2  # libraries choose algorithms and take their room in the first runs


class Recording(NamedTuple):
    """A forward pass, ready to be repeated: `replay` computes `made` of what `given` holds."""

    given: Tensor
    made: Tensor
    replay: Callable[[], None]


class Graphs:
    """A network whose forward pass is recorded for shapes that come again.

    Where a recording fails, for want of memory or because a kernel cannot be recorded, everything
    runs as it would without. Calls from several threads wait for each other.

    Attributes:
        failure: why nothing is recorded any more; None: all is well.
    """

    def __init__(
        self, network: Network, record: Callable[[Network, Tensor], Recording] | None = None
    ) -> None:
        """Wrap a network; `record` is how a forward pass becomes a recording, here a CUDA graph."""
        self.failure: str | None = None
        self._network = network
        self._record = record or GpuRecorder()
        self._recordings: OrderedDict[tuple[int, ...], Recording] = OrderedDict()
        self._once: OrderedDict[tuple[int, ...], None] = OrderedDict()
        self._lock = Lock()

    def __call__(self, mel: Tensor) -> Tensor:
        """Run the network on a mel `(batch, ..., frames)`.

        Raises:
            torch.OutOfMemoryError: what the recordings hold has been given back.
        """
        with self._lock:
            recording = self._recording(mel)
            if recording is None:
                try:
                    return self._network(mel)
                except torch.OutOfMemoryError:
                    self._recordings.clear()
                    raise
            recording.given.copy_(mel)
            recording.replay()
            return recording.made.clone()

    def _recording(self, mel: Tensor) -> Recording | None:
        shape = tuple(mel.shape)
        if self.failure or shape[0] * shape[-1] > MOST_FRAMES:
            return None
        if shape in self._recordings:
            self._recordings.move_to_end(shape)
            return self._recordings[shape]
        if shape not in self._once:
            self._once[shape] = None
            if len(self._once) > _REMEMBERED:
                self._once.popitem(last=False)
            return None
        if len(self._recordings) == MOST_GRAPHS:
            self._recordings.popitem(last=False)
        try:
            self._recordings[shape] = self._record(self._network, mel)
        except RuntimeError as error:  # out of memory is one
            self.failure = str(error).partition("\n")[0]
            self._recordings.clear()
            return None
        return self._recordings[shape]


class GpuRecorder:
    """Records CUDA graphs, which share their room: they never run at the same time."""

    def __init__(self) -> None:
        self._shared: tuple[Any, torch.cuda.Stream] | None = None  # a pool's handle is torch's own

    def __call__(self, network: Network, mel: Tensor) -> Recording:
        """Record the forward pass of a network on a mel's shape and device.

        Raises:
            RuntimeError: not enough memory, or a kernel cannot be recorded.
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
                    made = network(given)
            finally:  # a recording that fails leaves its own stream in place
                torch.cuda.set_stream(ours)
            ours.wait_stream(stream)
        return Recording(given, made, graph.replay)
