"""The fast training step against the reference step, in one run.

All steps take turns on the same synthetic batch, so that whatever else the machine does slows them
alike; the median over the rounds counts. On CUDA a round has several steps of each, since a
training run launches the next step while the device computes this one.
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
from hifigan_cli.benchmarks.machine import Peak, seconds, synchronize, watch_gpu_memory
from hifigan_cli.data.batches import Batch
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.training.compiling import compile_networks
from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, GraphedStep, usable
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import MelTransforms, both_turns, mel_transforms, train_step
from hifigan_cli.training.vocoder import choose_algorithms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from hifigan_cli.config import Config

REFERENCE = "reference"
_STEPS_PER_ROUND = {"cuda": 10}


@dataclass(frozen=True)
class StepFigures:
    """One form of the step, measured.

    Attributes:
        name: `reference`, or `fast` with its precision and form.
        step_s: the median over the rounds, in seconds.
        steps_per_s: its inverse.
        audio_s_per_s: seconds of speech per second.
        ratio: how many times as fast as the reference step.
        gflop: billions of floating-point operations of the step.
        peak_share: their speed, relative to the device's `Peak`.
        compiled: whether the networks ran through torch.compile.
        cuda_graph: whether the step was replayed as a CUDA graph.
        warm_up_s: the time before the first measured step: compilation, the search for algorithms.
        memory_mb: the most that torch allocated of a GPU for it; None on other devices.
    """

    name: str
    step_s: float
    steps_per_s: float
    audio_s_per_s: float
    ratio: float
    gflop: float
    peak_share: float
    compiled: bool
    cuda_graph: bool
    warm_up_s: float
    memory_mb: float | None


@dataclass(frozen=True)
class TrainingFigures:
    """The result of `measure_training`."""

    device: str
    threads: int
    batch: int
    segment_size: int
    rounds: int
    peak_gflop_per_s: dict[str, float]  # by number format
    gradient_difference: float  # of the fast fp32 step, relative to each tensor's largest
    steps: list[StepFigures]


@dataclass
class _Runner:
    """One form of the step, and how many seconds it took in each round."""

    name: str
    precision: str
    run: Callable[[], object]
    compiled: bool = False
    cuda_graph: bool = False
    warm_up_s: float = 0.0
    memory_mb: float | None = None
    took_s: list[float] = field(default_factory=list)


def measure_training(
    config: Config,
    device: torch.device,
    rounds: int,
    precisions: tuple[str, ...],
    report: Callable[[int, str], None],
    warn: Callable[[str], None],
) -> TrainingFigures:
    """Measure steps of a configuration's networks and batch; all forms are in memory together.

    On CUDA the fast step is measured plainly and as a CUDA graph, and both again compiled, if the
    configuration allows it. `report` is called with the number of finished rounds; `warn` when a
    compilation or a capture fails.
    """
    choose_algorithms(deterministic=False)
    batch = synthetic_batch(config)
    mels = mel_transforms(config, device)
    state = _state(config, device, "fp32")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        difference = gradient_difference(state, batch, mels)
    flop = step_flop(state, config.train.batch_size)
    reference = ReferenceStep(state)
    builders = [partial(_Runner, REFERENCE, "fp32", lambda: reference(batch, mels))]
    for precision in precisions:
        build = partial(_fast, config, device, precision, batch, mels, warn)
        builders += [partial(build, *form) for form in _forms(state)]
    runners = [_warmed_up(build, device) for build in builders]
    peaks = {name: Peak(device, name, tf32=True) for name in dict.fromkeys(("fp32", *precisions))}

    for done in range(1, rounds + 1):
        for peak in peaks.values():
            peak.measure()
        for runner in runners:
            times = _STEPS_PER_ROUND.get(device.type, 1)
            runner.took_s.append(seconds(runner.run, device, times))
        report(done, "")
    return TrainingFigures(
        device=device_title(device),
        threads=torch.get_num_threads(),
        batch=config.train.batch_size,
        segment_size=config.train.segment_size,
        rounds=rounds,
        peak_gflop_per_s={name: peak.flop_per_s / 1e9 for name, peak in peaks.items()},
        gradient_difference=difference,
        steps=_figures(config, runners, peaks, flop),
    )


def synthetic_batch(config: Config) -> Batch:
    """Return a batch of drifting noise, the same each time."""
    random = torch.Generator().manual_seed(config.train.seed)
    shape = config.train.batch_size, config.train.segment_size
    return Batch(torch.randn(*shape, generator=random).cumsum(1).mul(0.01).tanh(), None)


def _state(config: Config, device: torch.device, precision: str) -> VocoderState:
    train = config.train.model_copy(update={"precision": precision})
    return VocoderState(config.model_copy(update={"train": train}), device)


def _forms(state: VocoderState) -> list[tuple[bool, bool]]:
    """Return whether to compile and whether to capture, for each form that is measured."""
    compiling = (False, True) if state.config.train.compile else (False,)
    if state.device.type != "cuda":  # nothing is captured: the form that training would use
        return [(compiling[-1], False)]
    return [(c, g) for c in compiling for g in ((False, True) if usable(state) else (False,))]


def _fast(
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
    name = f"fast {precision} compiled" if compiled else f"fast {precision}"
    if not graphed:
        return _Runner(name, precision, lambda: train_step(state, batch, mels, guard), compiled)
    step = GraphedStep(state, mels, guard, warn)
    for _ in range(WARM_UP_STEPS + 1):  # the last one is captured
        step(batch)
    if step.captured:
        name += " graph"
    return _Runner(name, precision, lambda: step(batch), compiled, step.captured)


def _warmed_up(build: Callable[[], _Runner], device: torch.device) -> _Runner:
    """Build a runner and run it once; note the time and memory that this took."""
    allocated_mb = watch_gpu_memory(device)
    started = time.perf_counter()
    runner = build()
    runner.run()
    synchronize(device)
    runner.warm_up_s = time.perf_counter() - started
    runner.memory_mb = allocated_mb()
    return runner


def _figures(
    config: Config, runners: list[_Runner], peaks: dict[str, Peak], flop: tuple[float, float]
) -> list[StepFigures]:
    train = config.train
    audio_s = train.batch_size * train.segment_size / config.mel.sample_rate
    reference_s = statistics.median(runners[0].took_s)
    figures = []
    for runner in runners:
        step_s, of_step = statistics.median(runner.took_s), flop[runner.name != REFERENCE]
        figures.append(
            StepFigures(
                name=runner.name,
                step_s=step_s,
                steps_per_s=1 / step_s,
                audio_s_per_s=audio_s / step_s,
                ratio=reference_s / step_s,
                gflop=of_step / 1e9,
                peak_share=of_step / step_s / peaks[runner.precision].flop_per_s,
                compiled=runner.compiled,
                cuda_graph=runner.cuda_graph,
                warm_up_s=runner.warm_up_s,
                memory_mb=runner.memory_mb,
            )
        )
    return figures


def gradient_difference(state: VocoderState, batch: Batch, mels: MelTransforms) -> float:
    """Return the largest difference between the two steps' gradients, at the same weights.

    It is relative to the largest gradient of its tensor. No optimizer moves: after one update, two
    roundings would differ as much as two gradients. The state's gradients are cleared.
    """
    vectors = copy.deepcopy(state.msd.state_dict())
    reference = ReferenceStep(state)
    reference.discriminators_turn(batch, mels)
    expected = _gradients(state, "mpd", "msd")  # the generator's turn adds to them
    reference.generators_turn(mels)
    expected += _gradients(state, "generator")
    state.zero_grad()

    state.msd.load_state_dict(vectors)  # back to where the power iterations began
    both_turns(state, batch, mels)
    found = _gradients(state, "mpd", "msd", "generator")
    state.zero_grad()
    return largest_difference(found, expected)


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference between gradients, relative to each tensor's largest.

    A tensor of one number (a last layer's gain or bias) may be only the rest of large terms that
    cancel; it is compared with its neighbors, which belong to the same layer.
    """
    largest = [float(of.abs().max()) for of in expected]
    differences = []
    for place, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        near = (
            slice(max(0, place - 1), place + 3) if theirs.numel() == 1 else slice(place, place + 1)
        )
        differences.append(float((ours - theirs).abs().max()) / max(*largest[near], 1e-30))
    return max(differences)


def _gradients(state: VocoderState, *names: str) -> list[Tensor]:
    parameters = (p for name in names for p in state.networks[name].parameters())
    return [p.grad.clone() for p in parameters if p.grad is not None]
