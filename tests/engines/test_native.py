"""The native engine: its kernels against plain arithmetic, the network against the forward."""

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
from hifigan_cli.engines.native.library import kernels
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.models import ModelFile
from hifigan_cli.types import FloatArray
from tests.engines.native_cases import KERNELS, LENGTHS, compile_library, random_case, random_model
from tests.helpers import ROOT

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=str(native.missing()))

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
PAIRS = [(kernel, length) for kernel, lengths in LENGTHS.items() for length in lengths]
TOLERANCE = {"avx512vnni": 1e-3}  # 16-bit scales; the others are float32
# A stage of whole panels and one of few channels; kernels with and without transforms.
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


def present(name: str) -> str:
    """Return the name of kernels, or skip where this processor lacks them."""
    if kernels(name) is None:
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
def test_convolutions(
    name: str,
    pair: tuple[int, int],
    channels: int,
    dilation: int,
    samples: int,
    seed: int,
    threads: int,
) -> None:
    """Every way to compute a convolution equals the sum over its taps: sizes, threads, ends."""
    case = random_case(seed, channels, pair[0], dilation, pair[1], samples)
    found = case.run(present(name), threads)
    np.testing.assert_allclose(found, case.reference(), atol=TOLERANCE.get(name, 2e-5))


@needs_compiler
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("spread", [0.0, 0.1, 3.0])
def test_integers_do_not_overflow(sign: int, size: float, spread: float) -> None:
    """Guard sums of 32 bits where all terms have one sign, as no random case has; and scales."""
    name, random = present("avx512vnni"), np.random.default_rng(5)
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
def test_integers_of_what_is_small_beside_the_mean(kernel: int) -> None:
    """Guard the scale of each frequency: a large offset leaves the changes around it their bits."""
    case = random_case(2, 128, kernel, 1, 16, 300)
    weight = case.weight - case.weight.mean(2, keepdims=True)  # it does not hear the offset
    offset = replace(case, weight=weight, x=(1000 + case.x), residual=None)
    inner = slice(20, -20)  # at its ends the offset begins and stops, and that is heard
    found, reference = offset.run(present("avx512vnni"))[inner], offset.reference()[inner]
    assert reference.std() > 0.5
    np.testing.assert_allclose(found, reference, atol=0.05)


@needs_compiler
@pytest.mark.parametrize("size", [0.0, 1e-36, 1e-42])
def test_integers_of_silence(size: float) -> None:
    """Guard the scale of nothing, and of next to nothing: the bias comes out, and no NaN."""
    case = random_case(1, 64, 7, 3, 16, 100)
    silent = replace(case, x=np.full_like(case.x, size), residual=None)
    found = silent.run(present("avx512vnni"))
    np.testing.assert_array_equal(found, np.tile(case.bias, (100, 1)))


def torch_forward(model: ModelFile, mel: FloatArray) -> FloatArray:
    net = model.build().double()
    wave: FloatArray = net(torch.from_numpy(mel).double()[None])[0, 0].numpy()
    return wave


def random_mel(frames: int, n_mels: int = 20, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n_mels, frames), dtype=np.float32)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("frames", [1, 2, 61])
def test_the_network(
    name: str, config: GeneratorConfig, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole generator equals the plain forward pass, on every set of instructions."""
    monkeypatch.setitem(native.engine.PRECISIONS, "under test", present(name))
    model, mel = random_model(config, seed=frames), random_mel(frames)
    engine = NativeEngine(model, "under test", threads=2)
    found = engine.synthesize(np.stack([mel, mel[::-1]]))
    reference = torch_forward(model, mel)
    assert np.sqrt((reference**2).mean()) > 0.02
    np.testing.assert_allclose(found[0], reference, atol=TOLERANCE.get(name, 5e-6))
    other = torch_forward(model, mel[::-1].copy())
    np.testing.assert_allclose(found[1], other, atol=TOLERANCE.get(name, 5e-6))


@given(
    cuts=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    config=st.sampled_from(list(CONFIGS.values())),
    seed=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_streams(cuts: list[int], config: GeneratorConfig, seed: int) -> None:
    """Frames in any portions give the samples of the whole; a stream can be used again."""
    engine = NativeEngine(random_model(config, seed), threads=1)
    mel = random_mel(sum(cuts), seed=seed)
    whole = engine.synthesize(mel[None])[0]
    assert whole.shape == (sum(cuts) * config.hop_length,)
    stream = engine.stream()
    for _ in range(2):
        pieces, at = [], 0
        for number, count in enumerate(cuts, 1):
            pieces.append(stream.push(mel[:, at : at + count], end=number == len(cuts)))
            at += count
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=3e-6)


def test_a_stream_gives_what_is_determined() -> None:
    """Latency is the context of a frame and no more: samples follow their frame by so many."""
    engine = NativeEngine(random_model(SMALL), threads=1)
    context = context_frames(SMALL)
    stream, mel, given_samples = engine.stream(), random_mel(60), 0
    for frame in range(60):
        given_samples += len(stream.push(mel[:, frame : frame + 1]))
        assert given_samples >= (frame + 1 - context) * SMALL.hop_length


def test_the_samples_do_not_depend_on_threads_or_time() -> None:
    """The same bits with one thread, two and three, and from calls at the same time."""
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


def test_one_stream_for_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pushes, one at a time: the room for samples is reckoned from all that came before."""
    engine = NativeEngine(random_model(SMALL), threads=1)
    stream, at_work, together = engine.stream(), threading.Lock(), []
    push = stream._push

    def watched(rows: FloatArray, *, end: bool) -> FloatArray:
        together.append(not at_work.acquire(blocking=False))
        time.sleep(0.01)
        made = push(rows, end=end)
        at_work.release()
        return made

    monkeypatch.setattr(stream, "_push", watched)
    with ThreadPoolExecutor(4) as pool:
        pieces = list(pool.map(stream.push, [random_mel(3)] * 8))
    assert together == [False] * 8
    made = sum(map(len, pieces)) + len(stream.push(random_mel(0), end=True))
    assert made == 24 * SMALL.hop_length


def test_after_a_fork() -> None:
    """A process made by fork has none of the threads, and works."""
    engine = NativeEngine(random_model(SMALL), threads=2)
    mel = random_mel(40)[None]
    expected = engine.synthesize(mel)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(engine.synthesize(mel), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("shape", [(19, 10), (21, 10), (20,)])
def test_other_bands_are_refused(shape: tuple[int, ...]) -> None:
    """The library reads as many numbers a frame as the network has bands, whatever it is given."""
    engine = NativeEngine(random_model(SMALL), threads=1)
    with pytest.raises(InputError, match="not \\(20, frames\\)"):
        engine.synthesize(np.zeros((1, *shape), np.float32))


def test_an_unknown_precision_is_refused() -> None:
    """What the processor lacks is said before any work."""
    with pytest.raises(UsageError, match="no fp8"):
        NativeEngine(random_model(SMALL), "fp8")


# Memory for threads, then for what they need at work, is given a little at a time.
SHORT = """
import resource
from pathlib import Path
import numpy as np
from hifigan_cli.config import GeneratorConfig
from hifigan_cli.engines.native import NativeEngine
from tests.engines.native_cases import random_model

def give(megabytes):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, -1))

wide = GeneratorConfig(upsample_rates=(4,), upsample_kernel_sizes=(8,),
                       upsample_initial_channel=256)
model, mel = random_model(wide, 1), np.ones((1, 20, 400), "f")
right = NativeEngine(model, threads=1).synthesize(mel)
short = 0
give(100)
try:
    NativeEngine(model, threads=100)
except MemoryError:  # the threads took what there was
    short += 1
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
engine = NativeEngine(model, threads=4)
stream = engine.stream()  # after a failure as new
for megabytes in range(0, 40):
    give(megabytes)
    try:
        assert (stream.push(mel[0], end=True) == right[0]).all()
        break
    except MemoryError:
        short += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print("alive", short)
"""


def said_by(program: str, *words: str, env: dict[str, str]) -> str:
    """Run a Python program in a process of its own, to a good end; return what it printed."""
    run = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=env,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def test_without_the_memory_for_threads_and_for_work() -> None:
    """What the system refuses is an exception or fewer threads, not the end of the process."""
    # What is freed goes back to the system, so that the next piece of work asks for it again.
    environ = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    assert int(said_by(SHORT, env=environ).removeprefix("alive")) > 3


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
for name in filter(library.kernels, KERNELS):
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
        made = NativeEngine(random_model(config), name, threads=2)
        stream = made.stream()
        for count in (0, 1, 5, 40, 0, 2):
            stream.push(random.standard_normal((20, count)).astype("f"))
        stream.push(np.zeros((20, 3), "f"), end=True)
assert "torch" not in sys.modules
print("clean", cases)
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)  # compiling takes six minutes on a busy machine without AVX-512
@needs_compiler
def test_under_the_sanitizers(tmp_path: Path) -> None:
    """Nothing is read or written outside what was allocated, and no arithmetic is undefined."""
    # The sanitizer looks for what throws when it is loaded, and Python itself has no C++.
    runtimes = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    if not all(Path(runtime).is_file() for runtime in runtimes):
        pytest.skip("g++ has no address sanitizer here")
    checks = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    compile_library(tmp_path / "_library.so", checks)
    environment = {**os.environ, "LD_PRELOAD": ":".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"}
    assert said_by(SANITIZED, str(tmp_path), env=environment).startswith("clean")
