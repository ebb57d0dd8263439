"""The fast training step against the reference step, in one run.

All steps run in turn, round after round, on the same synthetic batch, so that whatever else the
machine does slows them alike; the median over the rounds counts. On CUDA a round has several steps
of each, since a training run launches the next step while the device computes this one.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from hifigan_cli.benchmarks.gradients import gradient_difference
from hifigan_cli.benchmarks.work import Peak, step_flop, synchronise
from hifigan_cli.data.batches import Batch
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.training.compiling import compile_networks
from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, GraphedStep, usable
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import MelTransforms, mel_transforms, train_step
from hifigan_cli.training.vocoder import choose_algorithms

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import Config

REFERENCE = "reference"
_FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
_STEPS_A_ROUND = {"cuda": 10}


@dataclass(frozen=True)
class StepFigures:
    """One form of the step, measured.

    Attributes:
        name: `reference`, `fast fp32` or `fast bf16`, and what is done to the latter.
        step_s: the median over the rounds, in seconds.
        steps_per_s: its inverse.
        audio_s_per_s: seconds of speech trained on in a second.
        ratio: how many times as fast as the reference step.
        gflop: billions of floating-point operations that the step makes.
        peak_share: their speed, relative to the highest that the device was seen to reach (`Peak`).
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
    """What `measure_training` found."""

    device: str
    threads: int
    batch: int
    segment_samples: int
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
    precisions: tuple[str, ...] = ("fp32", "bf16"),
    report: Callable[[int, int], None] = lambda _done, _total: None,
    warn: Callable[[str], None] = lambda _message: None,
) -> TrainingFigures:
    """Measure steps of a configuration's networks and batch; all forms are in memory together.

    On CUDA the fast step is measured plainly, and as a CUDA graph, and both again compiled, as far
    as the configuration allows them. `report` receives how many rounds are done, of how many;
    `warn`, that a compilation or a capture failed.
    """
    choose_algorithms(deterministic=False)
    train = config.train
    batch = synthetic_batch(config)
    mels = mel_transforms(config, device)
    state = _state(config, device, "fp32")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        difference = gradient_difference(state, batch, mels)
    flop = step_flop(state, train.batch_size)
    reference = ReferenceStep(state)

    def fast(precision: str, compiled: bool, graphed: bool) -> _Runner:
        return _fast(_state(config, device, precision), batch, mels, warn, compiled, graphed)

    builders = [partial(_Runner, REFERENCE, "fp32", lambda: reference(batch, mels))]
    builders += [partial(fast, name, *form) for name in precisions for form in _forms(state)]
    runners = [_warmed_up(build, device) for build in builders]
    formats = dict.fromkeys(("fp32", *precisions))
    peaks = {name: Peak(device, _FORMATS[name], tf32=True) for name in formats}

    steps = _STEPS_A_ROUND.get(device.type, 1)
    for done in range(rounds):
        for peak in peaks.values():
            peak.measure()
        for runner in runners:
            runner.took_s.append(_seconds(runner.run, steps, device))
        report(done + 1, rounds)
    return TrainingFigures(
        device=device_title(device),
        threads=torch.get_num_threads(),
        batch=train.batch_size,
        segment_samples=train.segment_samples,
        rounds=rounds,
        peak_gflop_per_s={name: peak.flop_per_s / 1e9 for name, peak in peaks.items()},
        gradient_difference=difference,
        steps=_figures(config, runners, peaks, flop),
    )


def synthetic_batch(config: Config) -> Batch:
    """Make a batch of drifting noise, the same each time."""
    random = torch.Generator().manual_seed(config.train.seed)
    shape = config.train.batch_size, config.train.segment_samples
    return Batch(torch.randn(*shape, generator=random).cumsum(1).mul(0.01).tanh(), None)


def _state(config: Config, device: torch.device, precision: str) -> VocoderState:
    train = config.train.model_copy(update={"precision": precision})
    return VocoderState(config.model_copy(update={"train": train}), device)


def _forms(state: VocoderState) -> list[tuple[bool, bool]]:
    """Return whether to compile and whether to capture, for each form that is measured."""
    compiling = (False, True) if state.config.train.compile else (False,)
    if state.device.type != "cuda":  # where nothing is captured, what training would do
        return [(compiling[-1], False)]
    return [(c, g) for c in compiling for g in ((False, True) if usable(state) else (False,))]


def _fast(
    state: VocoderState,
    batch: Batch,
    mels: MelTransforms,
    warn: Callable[[str], None],
    compiled: bool,
    graphed: bool,
) -> _Runner:
    precision, guard = state.config.train.precision, NonfiniteGuard(state.device)
    compiled = compiled and compile_networks(state, batch, mels, warn)
    words = ["fast", precision, *(["compiled"] if compiled else [])]
    if not graphed:
        return _Runner(
            " ".join(words), precision, lambda: train_step(state, batch, mels, guard), compiled
        )
    step = GraphedStep(state, mels, guard, warn)
    for _ in range(WARM_UP_STEPS + 1):  # the last one is captured
        step(batch)
    words += ["graph"] if step.captured else []
    return _Runner(" ".join(words), precision, lambda: step(batch), compiled, step.captured)


def _warmed_up(build: Callable[[], _Runner], device: torch.device) -> _Runner:
    """Build a runner and run it once, and note what that took."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    started = time.perf_counter()
    runner = build()
    runner.run()
    synchronise(device)
    runner.warm_up_s = time.perf_counter() - started
    if on_gpu:
        runner.memory_mb = (torch.cuda.max_memory_allocated(device) - before) / 1e6
    return runner


def _seconds(run: Callable[[], object], steps: int, device: torch.device) -> float:
    """Return the seconds that a step takes, as a mean over several without a break."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(steps):
        run()
    synchronise(device)
    return (time.perf_counter() - started) / steps


def _figures(
    config: Config, runners: list[_Runner], peaks: dict[str, Peak], flop: tuple[float, float]
) -> list[StepFigures]:
    train = config.train
    audio_s = train.batch_size * train.segment_samples / config.mel.rate_hz
    medians = {runner.name: statistics.median(runner.took_s) for runner in runners}
    figures = []
    for runner in runners:
        step_s, of_step = medians[runner.name], flop[runner.name != REFERENCE]
        figures.append(
            StepFigures(
                name=runner.name,
                step_s=step_s,
                steps_per_s=1 / step_s,
                audio_s_per_s=audio_s / step_s,
                ratio=medians[REFERENCE] / step_s,
                gflop=of_step / 1e9,
                peak_share=of_step / step_s / peaks[runner.precision].flop_per_s,
                compiled=runner.compiled,
                cuda_graph=runner.cuda_graph,
                warm_up_s=runner.warm_up_s,
                memory_mb=runner.memory_mb,
            )
        )
    return figures
