"""The native engine: its kernels against numpy, the network against torch's forward pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.config.architecture import context_frames
from hifigan_cli.engines import native
from hifigan_cli.engines.native import NativeEngine
from hifigan_cli.engines.native.library import find_kernels
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.models import ModelFile
from hifigan_cli.types import FloatArray
from tests.engines.native_cases import KERNELS, LENGTHS, compile_library, random_case, random_model
from tests.helpers import ROOT

reason = native.unavailable_reason()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
PAIRS = [(kernel, length) for kernel, lengths in LENGTHS.items() for length in lengths]
TOLERANCE = {"avx512vnni": 1e-3}  # 16-bit scales; the others are float32
# One stage with complete panels and one with few channels; kernels with and without transforms.
SMALL = GeneratorConfig(
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    upsample_initial_channel=64,
    resblock_kernel_sizes=(3, 7),
    resblock_dilation_sizes=((1, 3, 5), (1, 2, 3)),
)
SHALLOW = GeneratorConfig(
    resblock=2,
    upsample_rates=(3, 2, 2),
    upsample_kernel_sizes=(7, 4, 4),
    upsample_initial_channel=24,
    resblock_kernel_sizes=(5, 9),
    resblock_dilation_sizes=((1, 2), (2, 6)),
)
WIDE = GeneratorConfig(
    upsample_rates=(4,),
    upsample_kernel_sizes=(8,),
    upsample_initial_channel=256,
    resblock_kernel_sizes=(3, 7, 11),
    resblock_dilation_sizes=((1, 3), (1, 3), (1, 5)),
)
CONFIGS = {"small": SMALL, "shallow": SHALLOW, "wide": WIDE}


def supported(name: str) -> str:
    """Return the name of kernels, or skip the test if this processor lacks them."""
    if find_kernels(name) is None:
        pytest.skip(f"this processor has no {name}")
    return name


@needs_compiler
@pytest.mark.parametrize("name", KERNELS)
@given(
    pair=st.sampled_from(PAIRS),
    channels=st.sampled_from([1, 3, 8, 13, 16, 32, 48, 64, 96, 128]),
    dilation=st.sampled_from([1, 2, 3, 5, 8]),
    samples=st.one_of(st.integers(0, 40), st.sampled_from([333, 1023])),
    seed=st.integers(0, 9),
    threads=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=60, deadline=None)
def test_convolution_matches_reference(
    name: str,
    pair: tuple[int, int],
    channels: int,
    dilation: int,
    samples: int,
    seed: int,
    threads: int,
) -> None:
    """Every method equals the sum over the taps, for all sizes and thread counts."""
    case = random_case(seed, channels, pair[0], dilation, pair[1], samples)
    output = case.run(supported(name), threads)
    np.testing.assert_allclose(output, case.reference(), atol=TOLERANCE.get(name, 2e-5))


@needs_compiler
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("spread", [0.0, 0.1, 3.0])
def test_int16_does_not_overflow(sign: int, size: float, spread: float) -> None:
    """Terms of one sign, which random cases lack, fit in 32-bit sums, at all scales."""
    name, random = supported("avx512vnni"), np.random.default_rng(5)
    case = random_case(1, 128, 11, 1, 32, 300)
    weight = sign * np.exp(spread * random.standard_normal(case.weight.shape)) / 1408
    x = size * np.exp(spread * random.standard_normal(case.x.shape))
    loud = replace(
        case,
        weight=weight.astype(np.float32),
        x=x.astype(np.float32),
        bias=np.zeros_like(case.bias),
        residual=None,
    )
    reference = loud.reference()
    np.testing.assert_allclose(loud.run(name), reference, atol=2e-3 * np.abs(reference).max())


@needs_compiler
@pytest.mark.parametrize("kernel", [3, 7, 11])
def test_int16_with_large_offset(kernel: int) -> None:
    """Each frequency has a scale, so a large offset does not cost the other frequencies bits."""
    case = random_case(2, 128, kernel, 1, 16, 300)
    weight = case.weight - case.weight.mean(2, keepdims=True)  # removes the offset
    offset = replace(case, weight=weight, x=(1000 + case.x), residual=None)
    inner = slice(20, -20)  # the ends contain the steps of the offset
    output, reference = offset.run(supported("avx512vnni"))[inner], offset.reference()[inner]
    assert reference.std() > 0.5
    np.testing.assert_allclose(output, reference, atol=0.05)


@needs_compiler
@pytest.mark.parametrize("size", [0.0, 1e-36, 1e-42])
def test_int16_silence_gives_the_bias(size: float) -> None:
    """Zero and tiny inputs have a finite scale: the output is the bias, not NaN."""
    case = random_case(1, 64, 7, 3, 16, 100)
    silent = replace(case, x=np.full_like(case.x, size), residual=None)
    output = silent.run(supported("avx512vnni"))
    np.testing.assert_array_equal(output, np.tile(case.bias, (100, 1)))


def torch_forward(model: ModelFile, mel: FloatArray) -> FloatArray:
    net = model.build().double()
    wave: FloatArray = net(torch.from_numpy(mel).double()[None])[0, 0].numpy()
    return wave


def random_mel(frames: int, n_mels: int = 20, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n_mels, frames), dtype=np.float32)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("frames", [1, 2, 61])
def test_network_matches_torch(
    name: str, config: GeneratorConfig, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The complete generator equals the eager forward pass on every instruction set."""
    monkeypatch.setitem(native.engine.PRECISIONS, "under test", supported(name))
    model, mel = random_model(config, seed=frames), random_mel(frames)
    engine = NativeEngine(model, "under test", threads=2)
    output = engine.synthesize(np.stack([mel, mel[::-1]]))
    reference = torch_forward(model, mel)
    assert np.sqrt((reference**2).mean()) > 0.02
    np.testing.assert_allclose(output[0], reference, atol=TOLERANCE.get(name, 5e-6))
    other = torch_forward(model, mel[::-1].copy())
    np.testing.assert_allclose(output[1], other, atol=TOLERANCE.get(name, 5e-6))


@given(
    cuts=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    config=st.sampled_from(list(CONFIGS.values())),
    seed=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_stream_matches_synthesize(cuts: list[int], config: GeneratorConfig, seed: int) -> None:
    """Frames in any portions give the samples of the complete mel; a stream can be reused."""
    engine = NativeEngine(random_model(config, seed), threads=1)
    mel = random_mel(sum(cuts), seed=seed)
    expected = engine.synthesize(mel[None])[0]
    assert expected.shape == (sum(cuts) * config.hop_length,)
    stream = engine.stream()
    for _ in range(2):
        pieces, at = [], 0
        for number, count in enumerate(cuts, 1):
            pieces.append(stream.push(mel[:, at : at + count], end=number == len(cuts)))
            at += count
        np.testing.assert_allclose(np.concatenate(pieces), expected, atol=3e-6)


def test_stream_latency_is_the_context() -> None:
    """The samples of a frame are returned once its context has been pushed, and no later."""
    engine = NativeEngine(random_model(SMALL), threads=1)
    context = context_frames(SMALL)
    stream, mel, returned = engine.stream(), random_mel(60), 0
    for frame in range(60):
        returned += len(stream.push(mel[:, frame : frame + 1]))
        assert returned >= (frame + 1 - context) * SMALL.hop_length


def test_samples_do_not_depend_on_threads() -> None:
    """One and three threads, and concurrent calls, return the same bits."""
    model, mel = random_model(WIDE, 1), random_mel(80)[None]
    first = NativeEngine(model, threads=1).synthesize(mel)
    engine = NativeEngine(model, threads=3)
    results: list[FloatArray] = []
    workers = [
        threading.Thread(target=lambda: results.append(engine.synthesize(mel))) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    assert all(np.array_equal(result, first) for result in results)


def test_threads_push_to_a_stream_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes do not overlap, because the size of the output depends on all earlier pushes."""
    engine = NativeEngine(random_model(SMALL), threads=1)
    stream, busy, overlaps = engine.stream(), threading.Lock(), []
    push = stream._push

    def recorded_push(rows: FloatArray, *, end: bool) -> FloatArray:
        overlaps.append(not busy.acquire(blocking=False))
        time.sleep(0.01)
        samples = push(rows, end=end)
        busy.release()
        return samples

    monkeypatch.setattr(stream, "_push", recorded_push)
    with ThreadPoolExecutor(4) as pool:
        pieces = list(pool.map(stream.push, [random_mel(3)] * 8))
    assert overlaps == [False] * 8
    count = sum(map(len, pieces)) + len(stream.push(random_mel(0), end=True))
    assert count == 24 * SMALL.hop_length


def test_engine_works_after_a_fork() -> None:
    """A forked process has none of the threads, and still computes the same samples."""
    engine = NativeEngine(random_model(SMALL), threads=2)
    mel = random_mel(40)[None]
    expected = engine.synthesize(mel)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(engine.synthesize(mel), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("shape", [(19, 10), (21, 10), (20,)])
def test_wrong_mel_shape_is_rejected(shape: tuple[int, ...]) -> None:
    """The library always reads the network's `n_mels` numbers per frame."""
    engine = NativeEngine(random_model(SMALL), threads=1)
    with pytest.raises(InputError, match="\\(20, frames\\)"):
        engine.synthesize(np.zeros((1, *shape), np.float32))


def test_unknown_precision_is_rejected() -> None:
    """The constructor rejects a precision that the engine does not have."""
    with pytest.raises(UsageError, match="fp8"):
        NativeEngine(random_model(SMALL), "fp8")


# Allows a limited amount of memory, first for threads and then for their work.
LOW_MEMORY = """
import resource
from pathlib import Path
import numpy as np
from hifigan_cli.config import GeneratorConfig
from hifigan_cli.engines.native import NativeEngine
from tests.engines.native_cases import random_model

def allow(megabytes):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, -1))

wide = GeneratorConfig(upsample_rates=(4,), upsample_kernel_sizes=(8,),
                       upsample_initial_channel=256)
model, mel = random_model(wide, 1), np.ones((1, 20, 400), "f")
expected = NativeEngine(model, threads=1).synthesize(mel)
failures = 0
allow(100)
try:
    NativeEngine(model, threads=100)
except MemoryError:  # the threads used up the memory
    failures += 1
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
engine = NativeEngine(model, threads=4)
stream = engine.stream()  # is reset after a failure
for megabytes in range(0, 40):
    allow(megabytes)
    try:
        assert (stream.push(mel[0], end=True) == expected[0]).all()
        break
    except MemoryError:
        failures += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print("failures", failures)
"""


def run_python(program: str, *arguments: str, env: dict[str, str]) -> str:
    """Run a Python program in a new process, check that it succeeds, and return its stdout."""
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=env,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def test_low_memory_does_not_end_the_process() -> None:
    """A failed allocation raises an exception or leads to fewer threads."""
    # Freed memory is returned to the system, so that the next push allocates it again.
    environ = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    assert int(run_python(LOW_MEMORY, env=environ).removeprefix("failures")) > 3


SANITIZED = """
import sys
from pathlib import Path
from hifigan_cli.engines.native import library
library._FOLDER = Path(sys.argv[1])
import numpy as np
from hifigan_cli.config import GeneratorConfig
from hifigan_cli.engines.native import NativeEngine, engine
from tests.engines import native_cases
from tests.engines.native_cases import KERNELS, LENGTHS, random_case, random_model
sanitized = native_cases.convolve_library(library._FOLDER / "_library.so")
native_cases.convolve_library = lambda: sanitized
random, cases = np.random.default_rng(0), 0
for name in filter(library.find_kernels, KERNELS):
    engine.PRECISIONS[name] = name
    for kernel, lengths in LENGTHS.items():
        for length in lengths:
            for channels in (1, 7, 16, 32, 64, 128):
                for samples in (0, 1, int(random.integers(2, 400))):
                    dilation = int(random.integers(1, 9))
                    case = random_case(cases, channels, kernel, dilation, length, samples)
                    case.run(name, threads=int(random.integers(1, 3)))
                    cases += 1
    for channels in (64, 48):
        config = GeneratorConfig(upsample_initial_channel=channels)
        stream = NativeEngine(random_model(config), name, threads=2).stream()
        for count in (0, 1, 5, 40, 0, 2):
            stream.push(random.standard_normal((20, count)).astype("f"))
        stream.push(np.zeros((20, 3), "f"), end=True)
assert "torch" not in sys.modules
print("clean", cases)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)  # compiling takes six minutes on a busy machine without AVX-512
@needs_compiler
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    """The library has no out-of-bounds access and no undefined behavior."""
    # The sanitizer looks up C++ exception functions when it is loaded, and Python has no libstdc++.
    runtimes = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    if not all(Path(runtime).is_file() for runtime in runtimes):
        pytest.skip("g++ has no address sanitizer here")
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    compile_library(tmp_path / "_library.so", flags)
    environment = {**os.environ, "LD_PRELOAD": ":".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"}
    assert run_python(SANITIZED, str(tmp_path), env=environment).startswith("clean")
