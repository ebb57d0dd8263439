"""Synthesis by every engine against the plain forward of the same weights, in one run.

All take turns on the same mel, each round with another one first, so that whatever else the machine
does slows them alike; medians count. A first round warms up, and its samples are compared with a
forward pass in double precision.
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
from hifigan_cli.audio.speech import repeated_mel, shipped_mel
from hifigan_cli.benchmarks.contenders import (
    YARDSTICK,
    Figures,
    compare,
    exact_samples,
    make_synthesis,
    memory_mb,
)
from hifigan_cli.benchmarks.flops import synthesis_flop
from hifigan_cli.benchmarks.machine import FORMATS, Machine, Peak, describe_machine
from hifigan_cli.config.architecture import context_frames
from hifigan_cli.models.model_file import write_model
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.synthesis.onnx_export import snr_db

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.benchmarks.contenders import Contender, Subject
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray

# Seconds of the result that the exact forward is computed for; in double precision it is slow.
EXACT_S = 20
# A pause before each run on the CPU, for the threads of the last one that still spin and the memory
# on its way back to the system: right after onnxruntime's, runs took half as long again.
REST_S = 0.5


@dataclass(frozen=True)
class EngineFigures(Figures):
    """One contender with one model, length and batch, measured.

    Attributes:
        weights: `trained` or `random`.
        length_s: of the speech, of each signal of a batch.
        batch: signals at once.
        real_time_factor: seconds of speech per second of work.
        peak_share: the plain forward's operations per second, relative to the `Peak` of that
            precision (of fp32 for integers); an engine that needs fewer operations may exceed 1.
        snr_db: of its samples, compared with the forward pass in double precision.
        memory_mb: the peak; None if not measured.
    """

    weights: str
    length_s: float
    batch: int
    real_time_factor: float
    peak_share: float
    snr_db: float
    memory_mb: float | None


@dataclass(frozen=True)
class SynthesisFigures:
    """The result of `measure_synthesis`.

    `processor_share` is how much of its threads' time the measurement got; well below 1, other
    programs took the rest, which slows engines unequally. None on a GPU.
    """

    machine: Machine
    device: str
    threads: int
    rounds: int
    peak_gflop_per_s: dict[str, float]  # by precision
    processor_share: float | None
    figures: list[EngineFigures]


@dataclass(frozen=True)
class Setting:
    """What to measure, and how.

    Attributes:
        contenders: in addition to the yardstick; all on one device.
        batches: signals at once, each of the lengths.
        memory: whether it is measured, in as many more processes.
        mel_of: returns a log-mel `(n_mels, frames)` of a convention and a length.
    """

    contenders: Sequence[Contender]
    lengths_s: Sequence[float]
    threads: int
    rounds: int
    memory: bool
    device: str
    batches: Sequence[int]
    mel_of: Callable[[MelConfig, int], FloatArray] = shipped_mel

    @property
    def on_gpu(self) -> bool:
        """Whether the device is CUDA's."""
        return self.device.startswith("cuda")

    def of_recording(self, path: Path) -> Setting:
        """Return the same on mels of a recording.

        Raises:
            InputError: not audio.
        """
        audio = read_audio(path)
        return replace(self, mel_of=lambda config, frames: repeated_mel(audio, config, frames))


def measure_synthesis(
    subjects: Sequence[Subject],
    setting: Setting,
    report: Callable[[int, str], None],
) -> SynthesisFigures:
    """Measure every contender with every model at every length.

    `report` is called with how many models and lengths are done, and the current one.
    """
    machine = describe_machine()
    torch.set_num_threads(setting.threads)
    everyone = [YARDSTICK, *setting.contenders]
    precisions = dict.fromkeys(each.precision for each in everyone)
    device = torch.device(setting.device)
    peaks = {name: Peak(device, name) for name in precisions if name in FORMATS}
    figures: list[EngineFigures] = []
    shares: list[float] = []
    for subject in subjects:
        race = _Race(subject, setting, everyone, peaks, shares)
        for length_s, batch in product(setting.lengths_s, setting.batches):
            done = len(figures) // len(everyone)
            report(done, f"{subject.name}, {batch} x {length_s:g} s")
            figures += race.run(length_s, batch)
    return SynthesisFigures(
        machine=machine,
        device=device_title(device),
        threads=setting.threads,
        rounds=setting.rounds,
        peak_gflop_per_s={name: peak.flop_per_s / 1e9 for name, peak in peaks.items()},
        processor_share=statistics.median(shares) if device.type == "cpu" else None,
        figures=figures,
    )


class _Race:
    """One model, and all contenders prepared for it."""

    def __init__(
        self,
        subject: Subject,
        setting: Setting,
        everyone: Sequence[Contender],
        peaks: dict[str, Peak],
        shares: list[float],
    ) -> None:
        self.subject, self.setting = subject, setting
        self.peaks, self.shares = peaks, shares
        self.runners = {
            each: make_synthesis(each, subject.model, setting.threads, setting.device)
            for each in everyone
        }

    def run(self, length_s: float, batch: int) -> list[EngineFigures]:
        """Measure one length and batch."""
        model, setting = self.subject.model, self.setting
        frames = max(1, round(length_s * model.mel.sample_rate / model.mel.hop_length))
        one = setting.mel_of(model.mel, frames)
        mel = np.stack([np.roll(one, place * frames // batch, 1) for place in range(batch)])
        snrs = self._snrs(mel)
        took_s: dict[Contender, list[float]] = {each: [] for each in self.runners}
        order = list(self.runners.items())
        for _ in range(setting.rounds):
            self._measure_peaks()
            for contender, synthesize in order:
                time.sleep(0 if setting.on_gpu else REST_S)
                started = time.perf_counter()
                synthesize(mel)
                took_s[contender].append(time.perf_counter() - started)
            order.append(order.pop(0))  # so that none always follows the same one
        memories = self._memories(mel) if setting.memory else {}
        flop = batch * synthesis_flop(model.generator, model.mel.n_mels, frames)
        speech_s = batch * frames * model.mel.hop_length / model.mel.sample_rate
        fp32 = self.peaks[YARDSTICK.precision]
        return [
            EngineFigures(
                **vars(found),
                weights=self.subject.weights,
                length_s=length_s,
                batch=batch,
                real_time_factor=speech_s / found.median_s,
                peak_share=flop / found.median_s / self.peaks.get(each.precision, fp32).flop_per_s,
                snr_db=snrs[each],
                memory_mb=memories.get(each),
            )
            for each, found in compare(self.subject.name, took_s).items()
        ]

    def _measure_peaks(self) -> None:
        """Measure the peaks once more; torch keeps all its threads busy with it."""
        started, used = time.perf_counter(), time.process_time()
        for peak in self.peaks.values():
            peak.measure()
        had = (time.perf_counter() - started) * self.setting.threads
        self.shares.append(min(1.0, (time.process_time() - used) / had))

    def _snrs(self, mel: FloatArray) -> dict[Contender, float]:
        """Run everyone once, and compare the first signal's samples with the exact ones."""
        model, on_gpu = self.subject.model, self.setting.on_gpu
        hop_length = model.mel.hop_length
        most = EXACT_S * model.mel.sample_rate // hop_length
        # Apple's GPU has no double precision.
        exact = exact_samples(model, mel[:1, :, :most], self.setting.device if on_gpu else "cpu")
        if mel.shape[-1] > most:  # leave out what the missing frames reach into
            exact = exact[:, : (most - context_frames(model.generator)) * hop_length]
        found = {
            each: snr_db(exact, synthesize(mel)[:1, : exact.shape[1]])
            for each, synthesize in self.runners.items()
        }
        if on_gpu:  # the second call of a shape records a graph
            for synthesize in self.runners.values():
                synthesize(mel)
        return found

    def _memories(self, mel: FloatArray) -> dict[Contender, float | None]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            write_model(path, self.subject.model)
            return {
                each: memory_mb(each, path, mel, self.setting.threads, self.setting.device)
                for each in self.runners
            }
