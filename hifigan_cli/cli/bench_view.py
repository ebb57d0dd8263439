"""The output of `hifigan bench`: tables, or JSON objects with `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hifigan_cli.benchmarks.variants import EngineVariant
from hifigan_cli.cli.console import new_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hifigan_cli.benchmarks.cold_start import ColdStartResult
    from hifigan_cli.benchmarks.machine import Machine
    from hifigan_cli.benchmarks.synthesis import SynthesisResult
    from hifigan_cli.benchmarks.training import TrainingResult
    from hifigan_cli.cli.console import Console

_MIN_CPU_SHARE = 0.9  # with a lower share of the CPU time, the ratios are not reliable


def print_synthesis(console: Console, measured: SynthesisResult) -> None:
    """Print the table of synthesis speeds and describe the machine."""
    table = new_table(
        ("model", "s", "engine"), ("x real time", "ratio", "of peak", "SNR dB", "memory MB")
    )
    last = None
    for row in measured.measurements:
        if last not in (None, (row.model, row.length_s, row.batch)):
            table.add_section()
        last = row.model, row.length_s, row.batch
        table.add_row(
            row.model,
            f"{row.length_s:g}" if row.batch == 1 else f"{row.batch} x {row.length_s:g}",
            EngineVariant(row.engine, row.precision).title,
            f"{row.times_real_time:.3g}",
            f"{row.ratio:.2f}",
            f"{row.flops_utilization:.0%}",
            f"{row.snr_db:.1f}",
            "-" if row.memory_mb is None else f"{row.memory_mb:.0f}",
        )
    _print_machine(console, measured.machine, measured.threads, measured.rounds)
    console.note(f"{measured.device}; peak: {_peaks(measured.peak_gflop_per_s)}")
    random = sorted({row.model for row in measured.measurements if row.weights == "random"})
    if random:
        console.note(f"models with random weights: {', '.join(random)}")
    if measured.cpu_share is not None and measured.cpu_share < _MIN_CPU_SHARE:
        console.warn(
            f"other programs used {1 - measured.cpu_share:.0%} of the CPU time, so the "
            "ratios are not reliable"
        )
    console.data("bench", table, **asdict(measured))


def print_cold_start(console: Console, measured: ColdStartResult) -> None:
    """Print how long complete processes took."""
    table = new_table(("model", "engine"), ("seconds", "fastest", "ratio"))
    for row in measured.measurements:
        table.add_row(
            row.model,
            EngineVariant(row.engine, row.precision).title,
            f"{row.median_s:.2f}",
            f"{row.fastest_s:.2f}",
            f"{row.ratio:.2f}",
        )
    _print_machine(console, measured.machine, measured.threads, measured.rounds)
    console.note(
        f"each process resynthesizes {measured.length_s:g} s of speech without enhancement"
    )
    console.data("bench_cold", table, **asdict(measured))


def print_training(console: Console, measured: TrainingResult) -> None:
    """Print the table of training speeds."""
    numbers = ("steps/s", "s audio/s", "ratio", "GFLOP", "of peak", "warm-up s", "memory MB")
    table = new_table(("step",), numbers)
    for step in measured.steps:
        table.add_row(
            step.name,
            f"{step.steps_per_s:.3g}",
            f"{step.audio_s_per_s:.3g}",
            f"{step.ratio:.2f}",
            f"{step.gflop:.0f}",
            f"{step.flops_utilization:.0%}",
            f"{step.warm_up_s:.1f}",
            "-" if step.memory_mb is None else f"{step.memory_mb:.0f}",
        )
    console.note(
        f"{measured.device}, {measured.threads} threads, batch {measured.batch} x "
        f"{measured.segment_size} samples, median of {measured.rounds}; "
        f"peak: {_peaks(measured.peak_gflop_per_s)}; "
        f"gradients differ by {measured.gradient_difference:.1e} at most"
    )
    console.data("bench_train", table, **asdict(measured))


def _peaks(peaks: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f} GFLOP/s" for name, value in peaks.items())


def _print_machine(console: Console, machine: Machine, threads: int, rounds: int) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    console.note(
        f"{machine.processor}, {threads} of {machine.cores} cores, median of {rounds} rounds; "
        f"{versions}"
    )
