"""Measure the optimized training step against the reference step.

All steps take turns on the same synthetic batch, so that other load on the machine slows all of
them equally. The results are medians over the rounds. On CUDA, each step runs several times per
round, because a training run launches the next step while the device computes the current one.
"""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from hifigan_cli.benchmarks.flops import step_flop
from hifigan_cli.benchmarks.machine import PeakSpeed, measure_seconds, synchronize, track_gpu_memory
from hifigan_cli.data.batches import Batch
from hifigan_cli.runtime.devices import describe_device
from hifigan_cli.training.compiling import compile_networks
from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, GraphedStep, can_capture
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import MelTransforms, compute_gradients, mel_transforms, train_step
from hifigan_cli.training.vocoder import configure_determinism

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from hifigan_cli.config import Config

REFERENCE = "reference"
_STEPS_PER_ROUND = {"cuda": 10}


@dataclass(frozen=True)
class StepTiming:
    """The measurement of one variant of the training step.

    Attributes:
        name: `reference`, or `optimized` with precision, `compiled` and `graph` if they apply.
        step_s: the median time of a step over the rounds, in seconds.
        steps_per_s: the inverse of `step_s`.
        audio_s_per_s: seconds of speech per second.
        ratio: the speed relative to the reference step.
        gflop: billions of floating-point operations in a step.
        flops_utilization: operations per second, relative to the device's `PeakSpeed`.
        compiled: whether the networks ran through torch.compile.
        cuda_graph: whether the step was replayed as a CUDA graph.
        warm_up_s: the time for compilation and the search for algorithms, before measuring.
        memory_mb: torch's peak allocation on the GPU in 10^6 bytes; None on other devices.
    """

    name: str
    step_s: float
    steps_per_s: float
    audio_s_per_s: float
    ratio: float
    gflop: float
    flops_utilization: float
    compiled: bool
    cuda_graph: bool
    warm_up_s: float
    memory_mb: float | None


@dataclass(frozen=True)
class TrainingResult:
    """The result of `measure_training`."""

    device: str
    threads: int
    batch: int
    segment_size: int
    rounds: int
    peak_gflop_per_s: dict[str, float]  # the keys are precisions
    gradient_difference: float  # optimized fp32 step; relative to the largest in each tensor
    steps: list[StepTiming]


@dataclass
class _Runner:
    """One variant of the step, and its time in each round."""

    name: str
    precision: str
    run: Callable[[], object]
    compiled: bool = False
    cuda_graph: bool = False
    warm_up_s: float = 0.0
    memory_mb: float | None = None
    times_s: list[float] = field(default_factory=list)


def measure_training(
    config: Config,
    device: torch.device,
    rounds: int,
    precisions: tuple[str, ...],
    report: Callable[[int, str], None],
    warn: Callable[[str], None],
) -> TrainingResult:
    """Measure training steps of a configuration; all variants are in memory at the same time.

    On CUDA, the optimized step is measured without and with a CUDA graph, and again with both
    compiled if the configuration allows it. `report` is called with the number of finished rounds,
    and `warn` if a compilation or a capture fails.
    """
    configure_determinism(deterministic=False)
    batch = synthetic_batch(config)
    mels = mel_transforms(config, device)
    state = _state(config, device, "fp32")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        difference = gradient_difference(state, batch, mels)
    flop = step_flop(state, config.train.batch_size)
    reference = ReferenceStep(state)
    builders = [partial(_Runner, REFERENCE, "fp32", lambda: reference(batch, mels))]
    for precision in precisions:
        build = partial(_optimized_runner, config, device, precision, batch, mels, warn)
        builders += [partial(build, *variant) for variant in _step_variants(state)]
    runners = [_warm_up(build, device) for build in builders]
    peaks = {
        name: PeakSpeed(device, name, tf32=True) for name in dict.fromkeys(("fp32", *precisions))
    }

    for done in range(1, rounds + 1):
        for peak in peaks.values():
            peak.measure()
        for runner in runners:
            repeats = _STEPS_PER_ROUND.get(device.type, 1)
            runner.times_s.append(measure_seconds(runner.run, device, repeats))
        report(done, "")
    return TrainingResult(
        device=describe_device(device),
        threads=torch.get_num_threads(),
        batch=config.train.batch_size,
        segment_size=config.train.segment_size,
        rounds=rounds,
        peak_gflop_per_s={name: peak.flop_per_s / 1e9 for name, peak in peaks.items()},
        gradient_difference=difference,
        steps=_step_timings(config, runners, peaks, flop),
    )


def synthetic_batch(config: Config) -> Batch:
    """Return a fixed batch of noise with a drift."""
    random = torch.Generator().manual_seed(config.train.seed)
    shape = config.train.batch_size, config.train.segment_size
    return Batch(torch.randn(*shape, generator=random).cumsum(1).mul(0.01).tanh(), None)


def _state(config: Config, device: torch.device, precision: str) -> VocoderState:
    train = config.train.model_copy(update={"precision": precision})
    return VocoderState(config.model_copy(update={"train": train}), device)


def _step_variants(state: VocoderState) -> list[tuple[bool, bool]]:
    """Return whether to compile and whether to capture, for each variant of the step."""
    compiling = (False, True) if state.config.train.compile else (False,)
    if state.device.type != "cuda":  # no capture: measure only the variant that training uses
        return [(compiling[-1], False)]
    return [(c, g) for c in compiling for g in ((False, True) if can_capture(state) else (False,))]


def _optimized_runner(
    config: Config,
    device: torch.device,
    precision: str,
    batch: Batch,
    mels: MelTransforms,
    warn: Callable[[str], None],
    compiled: bool,
    graphed: bool,
) -> _Runner:
    state, guard = _state(config, device, precision), NonfiniteGuard(device)
    compiled = compiled and compile_networks(state, batch, mels, warn)
    name = f"optimized {precision} compiled" if compiled else f"optimized {precision}"
    if not graphed:
        return _Runner(name, precision, lambda: train_step(state, batch, mels, guard), compiled)
    step = GraphedStep(state, mels, guard, warn)
    for _ in range(WARM_UP_STEPS + 1):  # the last one is captured
        step(batch)
    if step.captured:
        name += " graph"
    return _Runner(name, precision, lambda: step(batch), compiled, step.captured)


def _warm_up(build: Callable[[], _Runner], device: torch.device) -> _Runner:
    """Build a runner and run it once; store the time and memory of this."""
    allocated_mb = track_gpu_memory(device)
    started = time.perf_counter()
    runner = build()
    runner.run()
    synchronize(device)
    runner.warm_up_s = time.perf_counter() - started
    runner.memory_mb = allocated_mb()
    return runner


def _step_timings(
    config: Config, runners: list[_Runner], peaks: dict[str, PeakSpeed], flop: tuple[float, float]
) -> list[StepTiming]:
    train = config.train
    audio_s = train.batch_size * train.segment_size / config.mel.sample_rate
    reference_s = statistics.median(runners[0].times_s)
    timings = []
    for runner in runners:
        step_s, operations = statistics.median(runner.times_s), flop[runner.name != REFERENCE]
        timings.append(
            StepTiming(
                name=runner.name,
                step_s=step_s,
                steps_per_s=1 / step_s,
                audio_s_per_s=audio_s / step_s,
                ratio=reference_s / step_s,
                gflop=operations / 1e9,
                flops_utilization=operations / step_s / peaks[runner.precision].flop_per_s,
                compiled=runner.compiled,
                cuda_graph=runner.cuda_graph,
                warm_up_s=runner.warm_up_s,
                memory_mb=runner.memory_mb,
            )
        )
    return timings


def gradient_difference(state: VocoderState, batch: Batch, mels: MelTransforms) -> float:
    """Return the largest difference between the gradients of both steps, at the same weights.

    It is relative to the largest gradient in the tensor. The optimizers do not step, because one
    update would amplify rounding to the size of real differences. The state's gradients are
    cleared.
    """
    initial_msd = copy.deepcopy(state.msd.state_dict())
    reference = ReferenceStep(state)
    reference.discriminator_backward(batch, mels)
    expected = _gradients(state, "mpd", "msd")  # the generator's loss adds to them
    reference.generator_backward(mels)
    expected += _gradients(state, "generator")
    state.zero_grad()

    state.msd.load_state_dict(initial_msd)  # restores the vectors of the power iterations
    compute_gradients(state, batch, mels)
    actual = _gradients(state, "mpd", "msd", "generator")
    state.zero_grad()
    return largest_difference(actual, expected)


def largest_difference(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference between gradients, relative to the largest in each tensor.

    A tensor with one element (a last layer's gain or bias) may be the small sum of large terms
    that cancel, so it is compared with its neighbors, which belong to the same layer.
    """
    largest = [float(gradient.abs().max()) for gradient in expected]
    differences = []
    for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
        scalar = other.numel() == 1
        near = slice(max(0, index - 1), index + 3) if scalar else slice(index, index + 1)
        differences.append(float((one - other).abs().max()) / max(*largest[near], 1e-30))
    return max(differences)


def _gradients(state: VocoderState, *names: str) -> list[Tensor]:
    parameters = (p for name in names for p in state.networks[name].parameters())
    return [p.grad.clone() for p in parameters if p.grad is not None]
