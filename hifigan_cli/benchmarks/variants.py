"""The models and engines of the synthesis benchmarks.

Every engine runs as in synthesis, with its own chunk length and the exact context. The reference
for the speed is the `eager` engine, which works as the official code does: weight norm folded, the
complete mel at once.

Speed does not depend on the weights, but the accuracy of an engine does: freshly initialized
networks are nearly silent and hide errors. So the random weights here preserve the variance from
layer to layer, and the results state whether weights are trained or random.
"""

from __future__ import annotations

import re
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from hifigan_cli.benchmarks.machine import track_gpu_memory
from hifigan_cli.config import PRESETS
from hifigan_cli.engines.selection import (
    TORCH_FREE_ENGINES,
    EngineOptions,
    build_engine,
    unavailable_reason,
)
from hifigan_cli.errors import UsageError, did_you_mean
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.models.model_file import ModelFile, read_model
from hifigan_cli.models.shapes import generator_shapes
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hifigan_cli.config import VocoderConfig
    from hifigan_cli.types import DoubleArray, FloatArray

# V1 with trained weights, so that its accuracy is that of speech; V2 and V3 have no trained ones.
DEFAULT_MODELS = ("ljspeech-v1", "v2", "v3")
ENGINES = ("torch", "onnx", "native")
_STATUS = Path("/proc/self/status")
# Libraries whose import does not count towards an engine's memory.
_LIBRARIES = {
    "eager": ("torch",),
    "torch": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "native": (),
}


@dataclass(frozen=True)
class BenchmarkModel:
    """A model to measure, its name, and the origin of its weights."""

    name: str
    weights: Literal["trained", "random"]
    model: ModelFile


def find_benchmark_model(name: str) -> BenchmarkModel:
    """Return a preset with random weights, or the model of a name or path.

    Raises:
        ModelError: if there is no model of that name, or it is damaged.
    """
    if name in PRESETS:
        return BenchmarkModel(name, "random", random_model(PRESETS[name]))
    return BenchmarkModel(name, "trained", open_model(name))


def random_model(config: VocoderConfig, seed: int = 0) -> ModelFile:
    """Return a model with random weights whose waveform is about as loud as speech."""
    random = np.random.default_rng(seed)
    rates = config.generator.upsample_rates
    weights = {}
    for name, shape in generator_shapes(config.generator, config.mel.n_mels).items():
        if name.endswith(".bias"):
            weights[name] = np.zeros(shape, np.float32)
            continue
        fan_in = shape[1] * shape[2]
        if name.startswith("ups."):
            fan_in = shape[0] * shape[2] // rates[int(name.split(".")[1])]
        weights[name] = random.normal(0, fan_in**-0.5, shape).astype(np.float32)
    return ModelFile(config.mel, config.generator, weights, provenance={"name": "random weights"})


@dataclass(frozen=True)
class EngineVariant:
    """An engine and its precision."""

    engine: str
    precision: str = "fp32"

    @property
    def title(self) -> str:
        """Its label in tables."""
        return self.engine if self.precision == "fp32" else f"{self.engine} {self.precision}"


EAGER = EngineVariant("eager")


@dataclass(frozen=True)
class Timing:
    """The measured time of one engine variant with one model.

    Attributes:
        model: the name of the model.
        engine: the engine's name.
        precision: the precision of the engine's products.
        median_s: the median time over the rounds, in seconds; `fastest_s`: of the best round.
        ratio: the speed relative to the eager engine.
    """

    model: str
    engine: str
    precision: str
    median_s: float
    fastest_s: float
    ratio: float


def compare(
    model: str, times_s: Mapping[EngineVariant, Sequence[float]]
) -> dict[EngineVariant, Timing]:
    """Summarize the times of all rounds, relative to `EAGER`, which is one of the keys."""
    eager_s = statistics.median(times_s[EAGER])
    timings = {}
    for variant, times in times_s.items():
        median_s = statistics.median(times)
        timings[variant] = Timing(
            model, variant.engine, variant.precision, median_s, min(times), eager_s / median_s
        )
    return timings


def find_variants(
    names: Iterable[str] | None, device: str = "cpu"
) -> tuple[list[EngineVariant], dict[str, str]]:
    """Return engines in all precisions of a device, and the reasons why others are unavailable.

    Without names, all engines.

    Raises:
        UsageError: if a name is unknown, or a named engine is not available.
    """
    selected = ENGINES if names is None else tuple(dict.fromkeys(names))
    for name in selected:
        if name not in ENGINES:
            hint = did_you_mean(name, ENGINES) or f"one of: {', '.join(ENGINES)}"
            raise UsageError(f"there is no engine {name!r} to measure", hint)
    unavailable = {name: reason for name in selected if (reason := _unavailable(name, device))}
    if names is not None and unavailable:
        reasons = (f"engine {name}: {reason}" for name, reason in unavailable.items())
        raise UsageError("; ".join(reasons))
    variants = [
        EngineVariant(name, precision)
        for name in selected
        if name not in unavailable
        for precision in _precisions(name, device)
    ]
    return variants, unavailable


def _unavailable(engine: str, device: str) -> str | None:
    """Return the reason why an engine cannot run on a device, or None."""
    if device != "cpu" and engine in TORCH_FREE_ENGINES:
        return f"it runs on the CPU, not on {device}"
    return unavailable_reason(engine)


def _precisions(engine: str, device: str) -> Iterable[str]:
    if engine == "native":
        from hifigan_cli.engines.native import precisions

        return precisions()
    if engine != "torch":
        return ("fp32",)
    return ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")


def build_synthesizer(
    variant: EngineVariant, model: ModelFile, threads: int, device: str = "cpu"
) -> Callable[[FloatArray], FloatArray]:
    """Prepare an engine; return a function from log-mels to samples.

    Log-mels are `(batch, n_mels, frames)`, samples are `(batch, samples)`.
    """
    options = EngineOptions(variant.engine, variant.precision, device, threads)
    if variant == EAGER:
        return build_engine(model, options, device).synthesize
    vocoder = Vocoder(model, options)
    return lambda mel: vocoder.vocode(mel).samples


def synthesize_float64(model: ModelFile, mel: FloatArray, device: str = "cpu") -> DoubleArray:
    """Synthesize in double precision, as the reference for the accuracy of all engines."""
    generator = model.build(device).double()
    with torch.no_grad():
        y_hat = generator(torch.from_numpy(mel).to(device).double())[:, 0]
    samples: DoubleArray = y_hat.cpu().numpy()
    return samples


def measure_memory_mb(
    variant: EngineVariant, model: Path, mel: FloatArray, threads: int, device: str = "cpu"
) -> float | None:
    """Measure the peak memory of reading a model file and synthesizing from a mel, in 10^6 bytes.

    On the CPU, the memory after importing the engine's libraries does not count. A process never
    returns all of its memory, so each measurement starts a new one. On CUDA, the result is the
    memory that torch allocates on the device. None if the system does not report it (only Linux
    does).
    """
    if device.startswith("cuda"):
        allocated_mb = track_gpu_memory(torch.device(device))
        synthesize = build_synthesizer(variant, read_model(model), threads, device)
        for _ in range(2):  # the second call of a shape records a graph, which uses memory too
            synthesize(mel)
        return allocated_mb()
    if not _STATUS.exists():
        return None
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_cpu_memory_mb, variant, model, mel, threads).result()


def _cpu_memory_mb(variant: EngineVariant, path: Path, mel: FloatArray, threads: int) -> float:
    for library in _LIBRARIES[variant.engine]:
        import_module(library)
    before = _kilobytes("VmRSS")
    build_synthesizer(variant, read_model(path), threads)(mel)
    return (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(field: str) -> int:
    match = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text("utf-8"), re.MULTILINE)
    return int(match.group(1)) if match else 0
