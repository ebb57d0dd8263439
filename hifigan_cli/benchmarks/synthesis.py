"""Measure synthesis: every engine against the eager engine with the same weights.

All engines take turns on the same mel, and each round starts with another engine, so that other
load on the machine slows all of them equally. The results are medians. A first round warms up, and
its samples are compared with a forward pass in double precision.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.speech import bundled_mel, repeated_mel
from hifigan_cli.benchmarks.flops import synthesis_flop
from hifigan_cli.benchmarks.machine import DTYPES, Machine, PeakSpeed, describe_machine
from hifigan_cli.benchmarks.variants import (
    EAGER,
    Timing,
    build_synthesizer,
    compare,
    measure_memory_mb,
    synthesize_float64,
)
from hifigan_cli.config.architecture import context_frames
from hifigan_cli.models.model_file import write_model
from hifigan_cli.runtime.devices import describe_device
from hifigan_cli.synthesis.onnx_export import snr_db

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.benchmarks.variants import BenchmarkModel, EngineVariant
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray

# Accuracy is measured on this many seconds at most, because double precision is slow.
_FLOAT64_LIMIT_S = 20
# The pause before each run on the CPU. Threads of the previous run still spin, and its memory is
# still returned to the system: directly after onnxruntime, runs took 1.5 times as long.
_PAUSE_S = 0.5


@dataclass(frozen=True)
class SynthesisMeasurement(Timing):
    """The measurement of one engine variant with one model, length and batch size.

    Attributes:
        weights: `trained` or `random`.
        length_s: the length of each signal in the batch, in seconds.
        batch: the number of signals in the batch.
        times_real_time: seconds of speech per second of computation.
        flops_utilization: the operations of the eager forward pass per second, relative to the
            `PeakSpeed` of the precision (fp32 for integers). It may exceed 1 if an engine needs
            fewer operations.
        snr_db: the SNR of the samples, relative to the forward pass in double precision.
        memory_mb: the peak memory in 10^6 bytes; None if not measured.
    """

    weights: str
    length_s: float
    batch: int
    times_real_time: float
    flops_utilization: float
    snr_db: float
    memory_mb: float | None


@dataclass(frozen=True)
class SynthesisResult:
    """The result of `measure_synthesis`.

    `cpu_share` is the CPU time of the threads, relative to the elapsed time. If it is well
    below 1, other programs used the CPU, which slows engines unequally. It is None on a GPU.
    """

    machine: Machine
    device: str
    threads: int
    rounds: int
    peak_gflop_per_s: dict[str, float]  # the keys are precisions
    cpu_share: float | None
    measurements: list[SynthesisMeasurement]


@dataclass(frozen=True)
class BenchmarkSettings:
    """The settings of the synthesis benchmark.

    Attributes:
        variants: the engines to compare with the eager engine, on one device.
        lengths_s: the lengths of the signals, in seconds.
        memory: whether to measure memory, in one more process for each measurement.
        batches: the batch sizes, each measured with every length.
        render_mel: returns a log-mel `(n_mels, frames)` of a mel configuration and a length.
    """

    variants: Sequence[EngineVariant]
    lengths_s: Sequence[float]
    threads: int
    rounds: int
    memory: bool
    device: str
    batches: Sequence[int]
    render_mel: Callable[[MelConfig, int], FloatArray] = bundled_mel

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.startswith("cuda")

    def with_recording(self, path: Path) -> BenchmarkSettings:
        """Return these settings with mels of a recording.

        Raises:
            InputError: if the file is not audio.
        """
        audio = read_audio(path)
        return replace(self, render_mel=lambda config, frames: repeated_mel(audio, config, frames))


def measure_synthesis(
    models: Sequence[BenchmarkModel],
    settings: BenchmarkSettings,
    report: Callable[[int, str], None],
) -> SynthesisResult:
    """Measure every engine variant with every model, length and batch size.

    `report` is called with the number of finished measurements and the current one's description.
    """
    machine = describe_machine()
    torch.set_num_threads(settings.threads)
    variants = [EAGER, *settings.variants]
    precisions = dict.fromkeys(variant.precision for variant in variants)
    device = torch.device(settings.device)
    peaks = {name: PeakSpeed(device, name) for name in precisions if name in DTYPES}
    measurements: list[SynthesisMeasurement] = []
    shares: list[float] = []
    for model in models:
        benchmark = _ModelBenchmark(model, settings, variants, peaks, shares)
        for length_s, batch in product(settings.lengths_s, settings.batches):
            done = len(measurements) // len(variants)
            report(done, f"{model.name}, {batch} x {length_s:g} s")
            measurements += benchmark.run(length_s, batch)
    return SynthesisResult(
        machine=machine,
        device=describe_device(device),
        threads=settings.threads,
        rounds=settings.rounds,
        peak_gflop_per_s={name: peak.flop_per_s / 1e9 for name, peak in peaks.items()},
        cpu_share=statistics.median(shares) if device.type == "cpu" else None,
        measurements=measurements,
    )


class _ModelBenchmark:
    """One model, and all engine variants prepared for it."""

    def __init__(
        self,
        model: BenchmarkModel,
        settings: BenchmarkSettings,
        variants: Sequence[EngineVariant],
        peaks: dict[str, PeakSpeed],
        shares: list[float],
    ) -> None:
        self.name, self.weights, self.model = model.name, model.weights, model.model
        self.settings = settings
        self.peaks, self.shares = peaks, shares
        self.synthesizers = {
            variant: build_synthesizer(variant, model.model, settings.threads, settings.device)
            for variant in variants
        }

    def run(self, length_s: float, batch: int) -> list[SynthesisMeasurement]:
        """Measure one length and batch size."""
        model, settings = self.model, self.settings
        frames = max(1, round(length_s * model.mel.sample_rate / model.mel.hop_length))
        single = settings.render_mel(model.mel, frames)
        mel = np.stack([np.roll(single, index * frames // batch, 1) for index in range(batch)])
        snrs_db = self._measure_snrs(mel)
        times_s: dict[EngineVariant, list[float]] = {v: [] for v in self.synthesizers}
        order = list(self.synthesizers.items())
        for _ in range(settings.rounds):
            self._measure_peaks()
            for variant, synthesize in order:
                time.sleep(0 if settings.on_gpu else _PAUSE_S)
                started = time.perf_counter()
                synthesize(mel)
                times_s[variant].append(time.perf_counter() - started)
            order.append(order.pop(0))  # so that no engine always follows the same one
        memory_mb = self._measure_memory(mel) if settings.memory else {}
        flop = batch * synthesis_flop(model.generator, model.mel.n_mels, frames)
        speech_s = batch * frames * model.mel.hop_length / model.mel.sample_rate
        fp32_peak = self.peaks[EAGER.precision]
        return [
            SynthesisMeasurement(
                **vars(timing),
                weights=self.weights,
                length_s=length_s,
                batch=batch,
                times_real_time=speech_s / timing.median_s,
                flops_utilization=flop
                / timing.median_s
                / self.peaks.get(variant.precision, fp32_peak).flop_per_s,
                snr_db=snrs_db[variant],
                memory_mb=memory_mb.get(variant),
            )
            for variant, timing in compare(self.name, times_s).items()
        ]

    def _measure_peaks(self) -> None:
        """Update the peaks and the CPU share; torch uses all its threads for this."""
        started, used = time.perf_counter(), time.process_time()
        for peak in self.peaks.values():
            peak.measure()
        available_s = (time.perf_counter() - started) * self.settings.threads
        self.shares.append(min(1.0, (time.process_time() - used) / available_s))

    def _measure_snrs(self, mel: FloatArray) -> dict[EngineVariant, float]:
        """Run each variant once, and compare the first signal with double precision."""
        model, on_gpu = self.model, self.settings.on_gpu
        hop_length = model.mel.hop_length
        max_frames = _FLOAT64_LIMIT_S * model.mel.sample_rate // hop_length
        # Apple's GPU has no double precision.
        device = self.settings.device if on_gpu else "cpu"
        exact = synthesize_float64(model, mel[:1, :, :max_frames], device)
        if mel.shape[-1] > max_frames:  # drop the samples that depend on the missing frames
            exact = exact[:, : (max_frames - context_frames(model.generator)) * hop_length]
        snrs_db = {
            variant: snr_db(exact, synthesize(mel)[:1, : exact.shape[1]])
            for variant, synthesize in self.synthesizers.items()
        }
        if on_gpu:  # the second call of a shape records a graph
            for synthesize in self.synthesizers.values():
                synthesize(mel)
        return snrs_db

    def _measure_memory(self, mel: FloatArray) -> dict[EngineVariant, float | None]:
        threads, device = self.settings.threads, self.settings.device
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            write_model(path, self.model)
            return {
                variant: measure_memory_mb(variant, path, mel, threads, device)
                for variant in self.synthesizers
            }
