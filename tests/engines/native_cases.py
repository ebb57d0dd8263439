"""Random cases for the native engine, and a numpy reference; no torch, for the sanitizers."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from hifigan_cli.config import GeneratorConfig, MelConfig
from hifigan_cli.engines.native.engine import pointer
from hifigan_cli.engines.native.library import Floats, find_kernels
from hifigan_cli.models.model_file import ModelFile
from hifigan_cli.models.shapes import generator_shapes
from hifigan_cli.types import AnyArray, DoubleArray, FloatArray

SOURCE = Path(__file__).parents[2] / "hifigan_cli/engines/native/source"
CONVOLVE = Path(__file__).with_name("convolve.cpp")  # includes the library's `api.cpp`
BUILD = Path(__file__).parents[2] / "build/tests"  # ignored by git

# Transform lengths for each kernel size; 0: no transform, which every kernel size supports.
LENGTHS = {3: (0, 8, 16), 5: (0, 16, 32), 7: (0, 16, 32), 9: (0,), 11: (0, 16, 32)}
KERNELS = ("portable", "avx2", "avx512", "avx512vnni")


def compile_library(target: Path, flags: Sequence[str] = ()) -> None:
    """Compile the native library with `hifigan_convolve`, a function for tests only.

    Kernels that this processor cannot run are compiled without the flags: sanitizers take minutes.
    """
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-pthread"]
    unsupported = {f"isa_{name}" for name in KERNELS if find_kernels(name) is None}
    sources = [CONVOLVE, *(path for path in sorted(SOURCE.glob("*.cpp")) if path.stem != "api")]
    objects = [target.with_name(f"{source.stem}.o") for source in sources]
    with ThreadPoolExecutor(2) as pool:
        pairs = zip(sources, objects, strict=True)
        commands = [
            [*command, *(() if source.stem in unsupported else flags), "-c", source, "-o", output]
            for source, output in pairs
        ]
        for result in pool.map(lambda words: subprocess.run(words, check=False), commands):
            assert result.returncode == 0
    subprocess.run([*command, *flags, "-shared", *objects, "-o", target], check=True)


@lru_cache(maxsize=1)
def convolve_library(path: Path | None = None) -> ctypes.CDLL:
    """Load a library with `hifigan_convolve`; without a path, compile it if necessary."""
    if path is None:
        digest = hashlib.sha256()
        for source in (CONVOLVE, Path(__file__), *sorted(SOURCE.iterdir())):
            digest.update(source.read_bytes())
        path = BUILD / digest.hexdigest()[:16] / "_library.so"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name("lock")):
            if not path.exists():
                temporary = path.with_name("temporary.so")
                compile_library(temporary)
                temporary.rename(path)
    loaded = ctypes.CDLL(str(path))
    loaded.hifigan_error.restype, number = ctypes.c_char_p, ctypes.c_int
    loaded.hifigan_convolve.argtypes = (
        *(ctypes.c_char_p, number, number, number, number, number),
        *(Floats, Floats, ctypes.c_float, Floats, ctypes.c_int64, Floats, number, Floats),
    )
    return loaded


@dataclass(frozen=True)
class Case:
    """One convolution of a residual block, and its input."""

    channels: int
    kernel_size: int
    dilation: int
    length: int
    weight: FloatArray  # (channels, channels, kernel_size)
    bias: FloatArray
    x: FloatArray  # (samples, channels)
    residual: FloatArray | None
    initial: FloatArray | None  # the previous contents of the output, which is added to them

    def run(self, kernels: str, threads: int = 1) -> FloatArray:
        """Return the native output `(samples, channels)`."""
        y = np.zeros_like(self.x) if self.initial is None else self.initial.copy()
        residual = None if self.residual is None else pointer(self.residual)
        shape = (self.channels, self.kernel_size, self.dilation, self.length)
        library = convolve_library()
        status = library.hifigan_convolve(
            *(kernels.encode(), threads, *shape, pointer(self.weight), pointer(self.bias), 0.1),
            *(pointer(self.x), len(self.x), residual, self.initial is not None, pointer(y)),
        )
        assert status == 0, library.hifigan_error()
        return y

    def reference(self) -> DoubleArray:
        """Return the expected output in double precision, computed tap by tap."""
        pad = (self.kernel_size - 1) // 2 * self.dilation
        x = self.x.astype(np.float64)
        x = np.pad(np.maximum(x, 0.1 * x), ((pad, pad), (0, 0)))
        y = np.tile(self.bias.astype(np.float64), (len(self.x), 1))
        for tap in range(self.kernel_size):
            at = tap * self.dilation
            y += x[at : at + len(self.x)] @ self.weight[:, :, tap].T.astype(np.float64)
        for extra in (self.residual, self.initial):
            y += 0 if extra is None else extra
        return y


def random_case(
    seed: int, channels: int, kernel_size: int, dilation: int, length: int, samples: int
) -> Case:
    """Draw a case whose outputs have about unit variance."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> FloatArray:
        return random.standard_normal(shape, dtype=np.float32)

    return Case(
        *(channels, kernel_size, dilation, length),
        weight=normal(channels, channels, kernel_size)
        / np.float32(np.sqrt(channels * kernel_size)),
        bias=normal(channels),
        x=normal(samples, channels),
        residual=normal(samples, channels) if seed % 2 else None,
        initial=normal(samples, channels) if seed % 3 == 0 else None,
    )


def random_model(config: GeneratorConfig, seed: int = 0, n_mels: int = 20) -> ModelFile:
    random = np.random.default_rng(seed)
    weights: dict[str, AnyArray] = {}
    for name, shape in generator_shapes(config, n_mels).items():
        if name.endswith(".bias"):
            values = 0.1 * random.standard_normal(shape)
        else:
            fan = shape[1] * shape[2]
            if name.startswith("ups."):
                stage = int(name.split(".")[1])
                fan = shape[0] * -(-shape[2] // config.upsample_rates[stage])
            values = random.standard_normal(shape) * (0.7 / np.sqrt(fan))
        weights[name] = values.astype(np.float32)
    return ModelFile(MelConfig(n_mels=n_mels), config, weights)
