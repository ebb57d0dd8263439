"""Synthesis by every engine against the plain forward of the same weights, in one run.

All take turns, round after round, on the same mel, each time another one first, so that whatever
else the machine does slows them alike; medians are told. A first round warms up, and its samples
are held against a forward pass in double precision.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.speech import repeated_mel, shipped_mel
from hifigan_cli.benchmarks.contenders import YARDSTICK, exact_samples, make_synthesis
from hifigan_cli.benchmarks.footprint import memory_mb
from hifigan_cli.benchmarks.machine import Machine, describe_machine
from hifigan_cli.benchmarks.work import Peak, synthesis_flop
from hifigan_cli.config.architecture import context_frames
from hifigan_cli.models.model_file import write_model
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.synthesis.onnx_export import snr_db

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.benchmarks.contenders import Contender
    from hifigan_cli.benchmarks.subjects import Subject
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray

# Seconds of the result that the exact forward is computed for; in double precision it is slow.
EXACT_S = 20
# Before each run, so that what another left (threads that still spin, memory on its way back to the
# system) does not slow it: right after onnxruntime's, runs were seen to take half as long again.
# A GPU has nothing of the kind.
REST_S = 0.5
Item = TypeVar("Item")
_FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Figures:
    """One contender with one model and length, measured.

    Attributes:
        model: its name; `weights` says whether they are trained or random.
        engine: `plain`, the yardstick, or an engine's name; `precision` is of its products.
        length_s: of the speech that it makes, of each signal of a batch.
        batch: signals at once.
        median_s: the time that it takes, median over the rounds; `fastest_s`: of the best round.
        real_time_factor: seconds of speech a second of work.
        ratio: how many times as fast as the plain forward.
        peak_share: the plain forward's operations a second, relative to the highest speed seen in
            that precision (`Peak`), or for integers in fp32; an engine that makes do with fewer may
            exceed 1.
        snr_db: of its samples, held against the forward pass in double precision.
        memory_mb: the peak (`footprint`); None where not measured.
    """

    model: str
    weights: str
    engine: str
    precision: str
    length_s: float
    batch: int
    median_s: float
    fastest_s: float
    real_time_factor: float
    ratio: float
    peak_share: float
    snr_db: float
    memory_mb: float | None


@dataclass(frozen=True)
class SynthesisFigures:
    """What `measure_synthesis` found.

    `processor_share` is how much of its threads' time the measurement got; well below 1 other work
    took the rest, and that slows engines unequally. None on a GPU.
    """

    machine: Machine
    device: str
    threads: int
    rounds: int
    peak_gflop_per_s: dict[str, float]  # by precision
    processor_share: float | None
    figures: list[Figures]


@dataclass(frozen=True)
class Setting:
    """What to measure, and how.

    Attributes:
        contenders: beside the yardstick, which is always there; all on one device.
        batches: signals at once, each of the lengths.
        memory: whether it is measured, in as many more processes.
        mel_of: makes a log-mel `(mels, frames)` of a convention and a length.
    """

    contenders: Sequence[Contender]
    lengths_s: Sequence[float]
    threads: int
    rounds: int = 5
    memory: bool = True
    device: str = "cpu"
    batches: Sequence[int] = (1,)
    mel_of: Callable[[MelConfig, int], FloatArray] = shipped_mel

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
    report: Callable[[int, str], None] = lambda _done, _at_hand: None,
) -> SynthesisFigures:
    """Measure every contender with every model at every length.

    `report` hears how many models and lengths are done, and which is at hand.
    """
    machine = describe_machine()
    torch.set_num_threads(setting.threads)
    everyone = [YARDSTICK, *setting.contenders]
    formats = dict.fromkeys(each.precision for each in everyone)
    device = torch.device(setting.device)
    peaks = {name: Peak(device, _FORMATS[name]) for name in formats if name in _FORMATS}
    figures: list[Figures] = []
    shares: list[float] = []
    done = 0
    for subject in subjects:
        race = _Race(subject, setting, everyone, peaks, shares)
        for length_s, batch in product(setting.lengths_s, setting.batches):
            report(done, f"{subject.name}, {batch} x {length_s:g} s")
            figures += race.run(length_s, batch)
            done += 1
    return SynthesisFigures(
        machine=machine,
        device=device_title(device),
        threads=setting.threads,
        rounds=setting.rounds,
        peak_gflop_per_s={name: peak.flop_per_s / 1e9 for name, peak in peaks.items()},
        processor_share=statistics.median(shares) if device.type == "cpu" else None,
        figures=figures,
    )


def rotated(items: Sequence[Item], by: int) -> list[Item]:
    """Return the items from another one on, round the end.

    >>> rotated("abc", 4)
    ['b', 'c', 'a']
    """
    start = by % len(items)
    return [*items[start:], *items[:start]]


class _Race:
    """One model, all contenders made ready."""

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

    def run(self, length_s: float, batch: int) -> list[Figures]:
        """Measure one length and batch."""
        model, setting = self.subject.model, self.setting
        frames = max(1, round(length_s * model.mel.rate_hz / model.mel.hop_samples))
        one = setting.mel_of(model.mel, frames)
        mel = np.stack([np.roll(one, place * frames // batch, 1) for place in range(batch)])
        on_gpu = setting.device.startswith("cuda")
        snrs = self._snrs(mel)
        took_s: dict[Contender, list[float]] = {each: [] for each in self.runners}
        for number in range(setting.rounds):
            self._measure_peaks()
            # Another is first each time, so that none always follows the same one.
            for contender, synthesise in rotated(list(self.runners.items()), number):
                time.sleep(0 if on_gpu else REST_S)
                started = time.perf_counter()
                synthesise(mel)
                took_s[contender].append(time.perf_counter() - started)
        medians = {each: statistics.median(times) for each, times in took_s.items()}
        memories = self._memories(mel)
        flop = batch * synthesis_flop(model.generator, model.mel.n_mels, frames)
        made_s = batch * frames * model.mel.hop_samples / model.mel.rate_hz
        return [
            Figures(
                model=self.subject.name,
                weights=self.subject.weights,
                engine=each.engine,
                precision=each.precision,
                length_s=length_s,
                batch=batch,
                median_s=median_s,
                fastest_s=min(took_s[each]),
                real_time_factor=made_s / median_s,
                ratio=medians[YARDSTICK] / median_s,
                peak_share=flop / median_s / self._peak(each).flop_per_s,
                snr_db=snrs[each],
                memory_mb=memories.get(each),
            )
            for each, median_s in medians.items()
        ]

    def _peak(self, contender: Contender) -> Peak:
        # torch has no fast product of 16-bit integers to measure.
        return self.peaks.get(contender.precision, self.peaks[YARDSTICK.precision])

    def _measure_peaks(self) -> None:
        """Multiply matrices once more; torch keeps all its threads busy with it."""
        started, used = time.perf_counter(), time.process_time()
        for peak in self.peaks.values():
            peak.measure()
        had = (time.perf_counter() - started) * self.setting.threads
        self.shares.append(min(1.0, (time.process_time() - used) / had))

    def _snrs(self, mel: FloatArray) -> dict[Contender, float]:
        """Run everyone once, and hold the first signal's samples against the exact ones."""
        model = self.subject.model
        rate, hop = model.mel.rate_hz, model.mel.hop_samples
        most = EXACT_S * rate // hop
        device = self.setting.device
        on_gpu = device.startswith("cuda")  # Apple's has no double precision
        exact = exact_samples(model, mel[:1, :, :most], device if on_gpu else "cpu")
        if mel.shape[-1] > most:  # what the frames that were cut off reach into
            exact = exact[:, : (most - context_frames(model.generator)) * hop]
        found = {
            each: snr_db(exact, synthesise(mel)[:1, : exact.shape[1]])
            for each, synthesise in self.runners.items()
        }
        if on_gpu:  # the second call of a shape records a graph
            for synthesise in self.runners.values():
                synthesise(mel)
        return found

    def _memories(self, mel: FloatArray) -> dict[Contender, float | None]:
        if not self.setting.memory:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            write_model(path, self.subject.model)
            return {
                each: memory_mb(each, path, mel, self.setting.threads, self.setting.device)
                for each in self.runners
            }
