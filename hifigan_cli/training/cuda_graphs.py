"""Run a training step as one CUDA graph: one launch instead of several thousand.

At batch size 16 a fast GPU computes most kernels of a step in less time than Python needs to launch
them. A graph records the launches once and replays them on the same memory. The first steps run as
usual while libraries choose their algorithms. Then one step is captured, and all later steps replay
it. The arithmetic is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist

from hifigan_cli.training.step import Losses, to_micro_batches, train_on_micro_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms, MicroBatch

WARM_UP_STEPS = 3
_Key = tuple[object, ...]


def can_capture(state: VocoderState) -> bool:
    """Return whether steps can be captured: on one GPU, unless `deterministic` is set."""
    train = state.config.train
    return (
        train.cuda_graphs
        and state.device.type == "cuda"
        and not train.deterministic
        and not dist.is_initialized()
    )


class Capture:
    """Captures the kernel launches of a function on a separate stream."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm_up(self, run: Callable[[], Losses]) -> Losses:
        """Run once without capturing, on the capture stream."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            losses = run()
        current.wait_stream(self._stream)
        return losses

    def __call__(self, run: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        """Record `run` without executing it; return its output tensors and the replay function.

        Raises:
            RuntimeError: memory ran out, or an operation cannot be captured.
        """
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Other threads (data loading, saving) may use the GPU during the capture.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                losses = run()
        finally:  # a failed capture leaves the capture stream current
            torch.cuda.set_stream(current)
        return losses, graph.replay


class _CapturedStep(NamedTuple):
    static_inputs: list[MicroBatch]  # overwritten before each replay
    losses: Losses
    replay: Callable[[], None]


class GraphedStep:
    """Runs `train_step`, and replays it as a CUDA graph after a few warm-up steps.

    If a capture fails, training continues without graphs, and `warn` is called once.
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
        self._warm_up_counts: dict[_Key, int] = {}
        self._captured: dict[_Key, _CapturedStep] = {}
        self._failed = False
        for optimizer in (state.optimizer_g, state.optimizer_d):
            _make_capturable(optimizer, state.device)

    @property
    def captured(self) -> bool:
        """Whether steps now run as a CUDA graph."""
        return bool(self._captured)

    def __call__(self, batch: Batch) -> Losses:
        """Update all networks with one batch, as `train_step` does."""
        state = self._state
        micro_batches = to_micro_batches(state, batch, self._mels)
        before = state.step
        captured = self._find_or_capture(micro_batches)
        if captured is None:
            return self._capture.warm_up(
                lambda: train_on_micro_batches(state, micro_batches, self._mels, self._guard)
            )
        for static, micro in zip(captured.static_inputs, micro_batches, strict=True):
            static.y.copy_(micro.y)
            static.input_mel.copy_(micro.input_mel)
        captured.replay()
        state.step = before + 1
        return Losses(*torch.stack(captured.losses).unbind())  # the next replay overwrites these

    def _find_or_capture(self, micro_batches: list[MicroBatch]) -> _CapturedStep | None:
        """Return the graph for these shapes, captured now if warm-up is complete."""
        state = self._state
        adversarial = state.step >= state.config.train.adversarial_start
        key = (adversarial, *(micro.y.shape for micro in micro_batches))
        if key in self._captured or self._failed:
            return self._captured.get(key)
        self._warm_up_counts[key] = self._warm_up_counts.get(key, 0) + 1
        if self._warm_up_counts[key] <= WARM_UP_STEPS:
            return None
        inputs = [m._replace(y=m.y.clone(), input_mel=m.input_mel.clone()) for m in micro_batches]
        before = state.step
        try:
            losses, replay = self._capture(
                lambda: train_on_micro_batches(state, inputs, self._mels, self._guard)
            )
        except RuntimeError as error:  # includes out of memory
            self._failed = True
            reason = str(error).strip().partition("\n")[0]
            self._warn(f"CUDA graph capture failed, training without it: {reason}")
            return None
        finally:
            state.step = before  # capturing computes nothing
        self._captured[key] = _CapturedStep(inputs, losses, replay)
        return self._captured[key]


def _make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Move the learning rate to the device, where the graph reads its current value."""
    for group in optimizer.param_groups:
        lr: float | Tensor = group["lr"]
        group["lr"] = torch.as_tensor(lr, dtype=torch.float32, device=device)
        group["capturable"] = device.type == "cuda"
    # Suppresses a warning: the steps before the capture are intended.
    optimizer._warned_capturable_if_run_uncaptured = True
