"""A training step as one CUDA graph: one launch instead of several thousand.

At batch 16 a fast GPU computes most kernels of a step in less time than Python needs to launch
them. A graph records the launches once and replays them, on the same memory. The first steps run
as usual, while libraries choose their algorithms; then a step is captured, and replayed from there
on. The arithmetic is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist

from hifigan_cli.training.step import Losses, to_micro_batches, update

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms, MicroBatch

WARM_UP_STEPS = 3
_Key = tuple[object, ...]


def usable(state: VocoderState) -> bool:
    """Return whether steps may be captured: one GPU, and no demand for the same bits each time."""
    train = state.config.train
    return (
        train.cuda_graphs
        and state.device.type == "cuda"
        and not train.deterministic
        and not dist.is_initialized()
    )


class Capture:
    """Captures a function's launches on a stream of its own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm_up(self, run: Callable[[], Losses]) -> Losses:
        """Run once, as usual, on the stream of the capture."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            losses = run()
        current.wait_stream(self._stream)
        return losses

    def __call__(self, run: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        """Record `run` without executing it; return its result's place, and what executes it.

        Raises:
            RuntimeError: not enough memory, or an operation cannot be captured.
        """
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Other threads (data loading, saving) may use the GPU meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                losses = run()
        finally:  # a capture that fails leaves its own stream current
            torch.cuda.set_stream(current)
        return losses, graph.replay


class _Captured(NamedTuple):
    micros: list[MicroBatch]  # the graph's input, overwritten for each step
    losses: Losses
    replay: Callable[[], None]


class GraphedStep:
    """Calls `train_step`, captured as a CUDA graph once it has run a few times.

    Where a capture fails, everything goes on without, and `warn` is called once.
    """

    def __init__(
        self,
        state: VocoderState,
        mels: MelTransforms,
        guard: NonfiniteGuard,
        warn: Callable[[str], None],
        capture: Capture | None = None,
    ) -> None:
        self._state, self._mels, self._guard, self._warn = state, mels, guard, warn
        self._capture = capture or Capture()
        self._runs: dict[_Key, int] = {}
        self._captured: dict[_Key, _Captured] = {}
        self._failed = False
        for optimizer in (state.optimizer_g, state.optimizer_d):
            _make_capturable(optimizer, state.device)

    @property
    def captured(self) -> bool:
        """Whether the step runs as a CUDA graph by now."""
        return bool(self._captured)

    def __call__(self, batch: Batch) -> Losses:
        """Update all networks by one batch, as `train_step` does."""
        state = self._state
        micros = to_micro_batches(state, batch, self._mels)
        before = state.step
        captured = self._find(micros)
        if captured is None:
            return self._capture.warm_up(lambda: update(state, micros, self._mels, self._guard))
        for place, micro in zip(captured.micros, micros, strict=True):
            place.y.copy_(micro.y)
            place.input_mel.copy_(micro.input_mel)
        captured.replay()
        state.step = before + 1
        return Losses(*torch.stack(captured.losses).unbind())  # the next step overwrites its own

    def _find(self, micros: list[MicroBatch]) -> _Captured | None:
        """Return the graph for these shapes, captured now if they have warmed up."""
        state = self._state
        adversarial = state.step >= state.config.train.adversarial_start
        key = (adversarial, *(micro.y.shape for micro in micros))
        if key in self._captured or self._failed:
            return self._captured.get(key)
        self._runs[key] = self._runs.get(key, 0) + 1
        if self._runs[key] <= WARM_UP_STEPS:
            return None
        places = [p._replace(y=p.y.clone(), input_mel=p.input_mel.clone()) for p in micros]
        before = state.step
        try:
            losses, replay = self._capture(lambda: update(state, places, self._mels, self._guard))
        except RuntimeError as error:  # out of memory is one
            self._failed = True
            reason = str(error).strip().partition("\n")[0]
            self._warn(
                f"the step could not be captured as a CUDA graph, going on without: {reason}"
            )
            return None
        finally:
            state.step = before  # a capture computes nothing
        self._captured[key] = _Captured(places, losses, replay)
        return self._captured[key]


def _make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep the learning rate on the device, where a graph reads the current one."""
    for group in optimizer.param_groups:
        rate: float | Tensor = group["lr"]
        group["lr"] = torch.as_tensor(rate, dtype=torch.float32, device=device)
        group["capturable"] = device.type == "cuda"
    # Steps before the capture are on purpose; torch warns of them otherwise.
    optimizer._warned_capturable_if_run_uncaptured = True
