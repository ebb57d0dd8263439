"""The fast training step against the reference step, in one run.

All steps run in turn, round after round, on the same synthetic batch, so that whatever else the
machine does slows them alike; medians are told. The first round warms up and is left out.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.benchmarks.gradients import gradient_difference
from hifigan_cli.benchmarks.work import Peak, step_flop, synchronise
from hifigan_cli.data.batches import Batch
from hifigan_cli.models.devices import device_title
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.runtime.compiling import compile_networks
from hifigan_cli.training.runtime.guard import Guard
from hifigan_cli.training.start import choose_algorithms
from hifigan_cli.training.state import TrainState
from hifigan_cli.training.step import Mels, train_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import Config

REFERENCE = "reference"
_FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class StepFigures:
    """One way to make a step, measured.

    Attributes:
        name: `reference`, `fast fp32` or `fast bf16`.
        step_s: the median over the rounds, in seconds.
        steps_per_s: its inverse.
        audio_s_per_s: seconds of speech trained on in a second.
        ratio: how many times as fast as the reference step.
        gflop: billions of floating-point operations that the step makes.
        peak_share: their speed, relative to the highest that the device was seen to reach (`Peak`).
        compiled: whether the networks ran through torch.compile.
    """

    name: str
    step_s: float
    steps_per_s: float
    audio_s_per_s: float
    ratio: float
    gflop: float
    peak_share: float
    compiled: bool


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
    """One way to make a step, and how long it took each time."""

    name: str
    precision: str
    run: Callable[[], object]
    compiled: bool
    took_s: list[float]


def measure_training(
    config: Config,
    device: torch.device,
    rounds: int,
    precisions: tuple[str, ...] = ("fp32", "bf16"),
    report: Callable[[int, int], None] = lambda _done, _total: None,
    warn: Callable[[str], None] = lambda _message: None,
) -> TrainingFigures:
    """Measure steps of a configuration's networks and batch; memory for each way is taken at once.

    `report` hears how many rounds of how many are done; `warn`, that compilation failed.
    """
    choose_algorithms(deterministic=False)
    train = config.train
    batch = synthetic_batch(config)
    mels = Mels.on(config, device)
    state = _state(config, device, "fp32")
    difference = gradient_difference(state, batch, mels)
    flop = step_flop(state, train.batch_size)
    reference = ReferenceStep(state)
    runners = [_Runner(REFERENCE, "fp32", lambda: reference(batch, mels), False, [])]
    runners += [_fast(_state(config, device, name), batch, mels, warn) for name in precisions]
    formats = dict.fromkeys(("fp32", *precisions))
    peaks = {name: Peak(device, _FORMATS[name]) for name in formats}

    for done in range(rounds + 1):
        for peak in peaks.values():
            peak.measure()
        for runner in runners:
            runner.took_s.append(_seconds(runner.run, device))
        report(done, rounds)
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


def _state(config: Config, device: torch.device, precision: str) -> TrainState:
    train = config.train.model_copy(update={"precision": precision})
    return TrainState(config.model_copy(update={"train": train}), device)


def _fast(state: TrainState, batch: Batch, mels: Mels, warn: Callable[[str], None]) -> _Runner:
    precision, guard = state.config.train.precision, Guard(state.device)
    compiled = compile_networks(state, batch, mels, warn)

    def run() -> None:
        train_step(state, batch, mels, guard)

    return _Runner(f"fast {precision}", precision, run, compiled, [])


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - started


def _figures(
    config: Config, runners: list[_Runner], peaks: dict[str, Peak], flop: tuple[float, float]
) -> list[StepFigures]:
    train = config.train
    audio_s = train.batch_size * train.segment_samples / config.mel.rate_hz
    medians = {runner.name: statistics.median(runner.took_s[1:]) for runner in runners}
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
            )
        )
    return figures
