"""The output of `hifigan bench`: tables for people, the figures as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hifigan_cli.benchmarks.contenders import Contender
from hifigan_cli.cli.console import new_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hifigan_cli.benchmarks.cold import ColdFigures
    from hifigan_cli.benchmarks.machine import Machine
    from hifigan_cli.benchmarks.synthesis import SynthesisFigures
    from hifigan_cli.benchmarks.training import TrainingFigures
    from hifigan_cli.cli.console import Console

_UNDISTURBED = 0.9  # share of the processor's time on a quiet machine


def print_synthesis(console: Console, measured: SynthesisFigures) -> None:
    """Print the table of synthesis, and say what it was measured on."""
    table = new_table(("model", "s", "engine"), ("RTF", "ratio", "of peak", "SNR dB", "memory MB"))
    last = None
    for each in measured.figures:
        if last not in (None, (each.model, each.length_s, each.batch)):
            table.add_section()
        last = each.model, each.length_s, each.batch
        table.add_row(
            each.model,
            f"{each.length_s:g}" if each.batch == 1 else f"{each.batch} x {each.length_s:g}",
            Contender(each.engine, each.precision).title,
            f"{each.real_time_factor:.3g}",
            f"{each.ratio:.2f}",
            f"{each.peak_share:.0%}",
            f"{each.snr_db:.1f}",
            "-" if each.memory_mb is None else f"{each.memory_mb:.0f}",
        )
    _describe(console, measured.machine, measured.threads, measured.rounds)
    console.note(f"{measured.device}; peak: {_peaks(measured.peak_gflop_per_s)}")
    random = sorted({each.model for each in measured.figures if each.weights == "random"})
    if random:
        console.note(f"of random weights: {', '.join(random)}")
    if measured.processor_share is not None and measured.processor_share < _UNDISTURBED:
        console.warn(
            f"other programs took {1 - measured.processor_share:.0%} of the processor: the ratios "
            "are not to be trusted"
        )
    console.data("bench", table, **asdict(measured))


def print_cold(console: Console, measured: ColdFigures) -> None:
    """Print how long whole processes took."""
    table = new_table(("model", "engine"), ("seconds", "fastest", "ratio"))
    for each in measured.figures:
        table.add_row(
            each.model,
            Contender(each.engine, each.precision).title,
            f"{each.median_s:.2f}",
            f"{each.fastest_s:.2f}",
            f"{each.ratio:.2f}",
        )
    _describe(console, measured.machine, measured.threads, measured.rounds)
    console.note(f"resynth of {measured.length_s:g} s, without enhancement, a process each")
    console.data("bench_cold", table, **asdict(measured))


def print_training(console: Console, figures: TrainingFigures) -> None:
    """Print the table of training steps."""
    numbers = ("steps/s", "s audio/s", "ratio", "GFLOP", "of peak", "warm-up s", "memory MB")
    table = new_table(("step",), numbers)
    for step in figures.steps:
        table.add_row(
            step.name,
            f"{step.steps_per_s:.3g}",
            f"{step.audio_s_per_s:.3g}",
            f"{step.ratio:.2f}",
            f"{step.gflop:.0f}",
            f"{step.peak_share:.0%}",
            f"{step.warm_up_s:.1f}",
            "-" if step.memory_mb is None else f"{step.memory_mb:.0f}",
        )
    console.note(
        f"{figures.device}, {figures.threads} threads, batch {figures.batch} x "
        f"{figures.segment_size} samples, median of {figures.rounds}; "
        f"peak: {_peaks(figures.peak_gflop_per_s)}; "
        f"gradients differ by {figures.gradient_difference:.1e} at most"
    )
    console.data("bench_train", table, **asdict(figures))


def _peaks(peaks: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f} GFLOP/s" for name, value in peaks.items())


def _describe(console: Console, machine: Machine, threads: int, rounds: int) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    console.note(
        f"{machine.processor}, {threads} of {machine.cores} cores, median of {rounds} rounds; "
        f"{versions}"
    )
