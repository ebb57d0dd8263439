"""The models and engines that synthesis is measured with.

Every engine works as synthesis uses it, with its own chunk length and the exact context. The
yardstick is the official way: torch, eager, weight norm folded, the complete mel at once.

Speed does not depend on the weights, but the exactness of an engine does: freshly initialized
networks are nearly silent and hide errors. So random weights keep the variance from layer to layer,
and results say which weights they are of.
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

from hifigan_cli.benchmarks.machine import watch_gpu_memory
from hifigan_cli.config import PRESETS
from hifigan_cli.engines.choose import LIGHT, EngineOptions, make_engine, missing
from hifigan_cli.errors import UsageError, closest
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.models.model_file import ModelFile, read_model
from hifigan_cli.models.shapes import generator_shapes
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hifigan_cli.config import VocoderConfig
    from hifigan_cli.types import DoubleArray, FloatArray

# V1 with trained weights, so that its exactness is that of speech; V2 and V3 have none to load.
DEFAULT_SUBJECTS = ("ljspeech-v1", "v2", "v3")
PLAIN = "eager"
ENGINES = ("torch", "onnx", "native")
_STATUS = Path("/proc/self/status")
# Libraries whose import does not count as an engine's memory.
_LIBRARIES = {PLAIN: ("torch",), "torch": ("torch",), "onnx": ("onnx", "onnxruntime"), "native": ()}


@dataclass(frozen=True)
class Subject:
    """A model to measure with, its name, and where its weights come from."""

    name: str
    weights: Literal["trained", "random"]
    model: ModelFile


def find_subject(name: str) -> Subject:
    """Return a preset with random weights, or the model of a name or path.

    Raises:
        ModelError: nothing of that name, or it is damaged.
    """
    if name in PRESETS:
        return Subject(name, "random", random_model(PRESETS[name]))
    return Subject(name, "trained", open_model(name))


def random_model(config: VocoderConfig, seed: int = 0) -> ModelFile:
    """Return a model of random weights whose waveform is about as loud as speech."""
    random = np.random.default_rng(seed)
    rates = config.generator.upsample_rates
    weights = {}
    for name, shape in generator_shapes(config.generator, config.mel.n_mels).items():
        if name.endswith(".bias"):
            weights[name] = np.zeros(shape, np.float32)
            continue
        terms = shape[1] * shape[2]  # in the sum of one output
        if name.startswith("ups."):
            terms = shape[0] * shape[2] // rates[int(name.split(".")[1])]
        weights[name] = random.normal(0, terms**-0.5, shape).astype(np.float32)
    return ModelFile(config.mel, config.generator, weights, provenance={"name": "random weights"})


@dataclass(frozen=True)
class Contender:
    """An engine and the precision of its products."""

    engine: str
    precision: str = "fp32"

    @property
    def title(self) -> str:
        """Its name in tables."""
        name = "plain" if self.engine == PLAIN else self.engine
        return name if self.precision == "fp32" else f"{name} {self.precision}"


YARDSTICK = Contender(PLAIN)


@dataclass(frozen=True)
class Figures:
    """One contender with one model, measured.

    Attributes:
        model: its name.
        engine: `eager`, the yardstick, or an engine's name; `precision` is of its products.
        median_s: the time it takes, median over the rounds; `fastest_s`: of the best round.
        ratio: how many times as fast as the yardstick.
    """

    model: str
    engine: str
    precision: str
    median_s: float
    fastest_s: float
    ratio: float


def compare(model: str, took_s: Mapping[Contender, Sequence[float]]) -> dict[Contender, Figures]:
    """Compare the times of several rounds with those of the yardstick, which is among them."""
    yardstick_s = statistics.median(took_s[YARDSTICK])
    medians = {each: statistics.median(times) for each, times in took_s.items()}
    return {
        each: Figures(
            model, each.engine, each.precision, median_s, min(took_s[each]), yardstick_s / median_s
        )
        for each, median_s in medians.items()
    }


def find_contenders(
    names: Iterable[str] | None, device: str = "cpu"
) -> tuple[list[Contender], dict[str, str]]:
    """Return engines in all their precisions on a device, and why others are not available.

    Without names, all engines.

    Raises:
        UsageError: an unknown name, or a named engine that is not available.
    """
    wanted = ENGINES if names is None else tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in ENGINES:
            hint = closest(name, ENGINES) or f"one of: {', '.join(ENGINES)}"
            raise UsageError(f"no engine to measure is called {name!r}", hint)
    lacking = {name: reason for name in wanted if (reason := _why_missing(name, device))}
    if names is not None and lacking:
        raise UsageError("; ".join(f"no {name} engine: {why}" for name, why in lacking.items()))
    found = [
        Contender(name, precision)
        for name in wanted
        if name not in lacking
        for precision in _precisions(name, device)
    ]
    return found, lacking


def _why_missing(engine: str, device: str) -> str | None:
    if device != "cpu" and engine in LIGHT:
        return f"it runs on the CPU, not on {device}"
    return missing(engine)


def _precisions(engine: str, device: str) -> Iterable[str]:
    if engine == "native":
        from hifigan_cli.engines.native import precisions

        return precisions()
    if engine != "torch":
        return ("fp32",)
    return ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")


def make_synthesis(
    contender: Contender, model: ModelFile, threads: int, device: str = "cpu"
) -> Callable[[FloatArray], FloatArray]:
    """Prepare a contender; return a function from log-mels to samples.

    A mel is `(batch, n_mels, frames)`, the samples `(batch, samples)`.
    """
    options = EngineOptions(contender.engine, contender.precision, device, threads)
    if contender == YARDSTICK:
        return make_engine(model, options, device).synthesize
    vocoder = Vocoder(model, options)
    return lambda mel: vocoder.vocode(mel).samples


def exact_samples(model: ModelFile, mel: FloatArray, device: str = "cpu") -> DoubleArray:
    """Synthesize in double precision, which the samples of every engine are compared with."""
    generator = model.build(device).double()
    with torch.no_grad():
        y_hat = generator(torch.from_numpy(mel).to(device).double())[:, 0]
    samples: DoubleArray = y_hat.cpu().numpy()
    return samples


def memory_mb(
    contender: Contender, model: Path, mel: FloatArray, threads: int, device: str = "cpu"
) -> float | None:
    """Measure the peak memory of reading a model file and synthesizing from a mel, in 10^6 bytes.

    On the CPU: above what a process has after importing the engine's libraries. A process never
    gives back all of its memory, so each measurement has its own. On CUDA: what torch allocates of
    the device. None if the system does not report it (only Linux does).
    """
    if device.startswith("cuda"):
        allocated_mb = watch_gpu_memory(torch.device(device))
        synthesize = make_synthesis(contender, read_model(model), threads, device)
        for _ in range(2):  # the second call of a shape records a graph, which holds memory too
            synthesize(mel)
        return allocated_mb()
    if not _STATUS.exists():
        return None
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(_cpu_memory_mb, contender, model, mel, threads).result()


def _cpu_memory_mb(contender: Contender, path: Path, mel: FloatArray, threads: int) -> float:
    for library in _LIBRARIES[contender.engine]:
        import_module(library)
    before = _kilobytes("VmRSS")
    make_synthesis(contender, read_model(path), threads)(mel)
    return (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text("utf-8"), re.MULTILINE)
    return int(found.group(1)) if found else 0
