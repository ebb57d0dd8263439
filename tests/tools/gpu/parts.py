"""The parts of the proof: what is run, for how long at most, and what its result is.

`a` correctness, `b` synthesis, `c` training steps, `d` training of the restorer or of the vocoder.
At tiny size, for a test on a CPU, everything runs the same way on less.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.models_for_tests import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PYTHON = sys.executable
REPORT = "correctness.jsonl"
LETTERS = "abcd"
ABSENT = "no result"
_TINY_SETS = (
    "segment_size=1024",
    "upsample_initial_channel=16",
    "resblock_kernel_sizes=[3]",
    "resblock_dilation_sizes=[[1]]",
)


@dataclass(frozen=True)
class Setup:
    """What all parts have in common."""

    out: Path
    data: Path | None
    device: str
    tiny: bool
    work: str = "restorer"  # of part d; or vocoder
    workers: int = 14
    extra: tuple[str, ...] = ()  # more options of part d


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes:
        name: letter, and what it does.
        command: given the seconds that it may take.
        limit_s: after which it is stopped.
        least_s: less time is not worth starting it.
        kept: whether earlier parts leave it that time.
        result: reads what it found, given its standard output.
        environment: added to this process's.
    """

    name: str
    command: Callable[[float], list[str]]
    limit_s: float
    result: Callable[[str], Any]
    environment: dict[str, str] = field(default_factory=dict)
    least_s: float = 15
    kept: bool = False


def all_parts(setup: Setup) -> list[Part]:
    """Return every part, in the order in which they run."""
    parts = [*correctness(setup), *synthesis(setup), *training(setup), *long_training(setup)]
    if setup.tiny:  # a test shares its machine: threads would wait for each other
        parts = [replace(p, environment={**p.environment, "OMP_NUM_THREADS": "1"}) for p in parts]
    return parts


def correctness(setup: Setup) -> Iterator[Part]:
    """CUDA against the CPU (`tests/gpu`)."""
    report = setup.out / REPORT
    words = ["-m", "pytest", "-o", "addopts=", "-o", "filterwarnings=default", "-q"]
    words += ["-p", "no:cacheprovider", "-m", "gpu", "--durations=8"]
    # On a CPU a few of them show that the lines work.
    words += ["tests/gpu/test_networks.py", "-k", "mel"] if setup.tiny else ["tests/gpu"]
    yield Part(
        "a correctness",
        lambda _seconds: [PYTHON, *words],
        90,
        lambda _text: lines(report) or ABSENT,
        {
            "TEST_DEVICE": setup.device,
            "GPU_TESTS_REPORT": str(report),
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        },
    )


def synthesis(setup: Setup) -> Iterator[Part]:
    """Every preset against the plain eager forward pass; a profile of the first."""
    words = ["bench", "--engines", "torch", "--device", setup.device, "--json"]
    if setup.tiny:
        model = write_tiny_model(setup.out / "tiny.safetensors")
        words += ["-m", str(model), "--lengths", "0.2", "--batch", "2", "--rounds", "1"]
        yield Part("b synthesis", _hifigan([*words, "--no-memory"]), 60, last_json)
    else:
        words += ["--lengths", "1,5,20", "--batch", "1,16", "--rounds", "5"]
        words += [word for preset in ("v1", "v2", "v3") for word in ("-m", preset)]
        yield Part("b synthesis", _hifigan(words), 100, last_json)
    yield _profile(setup, "b profile", ["synthesis", "--batch", "1"])


def training(setup: Setup) -> Iterator[Part]:
    """The forms of a V1 step against the plain loop of the official code; a profile."""
    words = ["bench", "train", "--device", setup.device, "--json"]
    if setup.tiny:
        words += ["--batch", "1", "--steps", "1", "--set", "discriminator_width=0.125"]
        words += [part for setting in _TINY_SETS for part in ("--set", setting)]
        words += ["--fp32"]  # a CPU may emulate bfloat16
    else:
        words += ["-p", "v1", "--batch", "16", "--steps", "5"]
    strict = {"NVIDIA_TF32_OVERRIDE": "0"}  # read by NVIDIA's libraries
    yield Part("c steps", _hifigan(words), 90, last_json)
    yield _profile(setup, "c profile", ["training"])
    if not setup.tiny:
        compiled = [*words, "--bf16", "--set", "compile=true"]
        yield Part("c steps compiled", _hifigan(compiled), 150, last_json, least_s=120)
        yield Part("c steps strict fp32", _hifigan([*words, "--fp32"]), 60, last_json, strict)


def long_training(setup: Setup) -> Iterator[Part]:
    """The restorer, or with `work` vocoder the vocoder, for all the time that is left."""
    if setup.data is None:
        return
    data = setup.data

    def command(seconds: float) -> list[str]:
        words = [PYTHON, "-m", f"tests.tools.gpu.{setup.work}", str(setup.out)]
        words += ["--data", str(data), "--minutes", f"{max(5.0, seconds - 10) / 60:.2f}"]
        words += ["--device", setup.device, "--workers", str(setup.workers)]
        tiny = ["--tiny"] if setup.tiny and setup.work == "restorer" else []
        return [*words, *tiny, *setup.extra]

    log = setup.out / f"{setup.work}.jsonl"
    yield Part(
        f"d {setup.work}",
        command,
        600,
        lambda _text: (lines(log) or [ABSENT])[-1],
        least_s=15 if setup.tiny else 240,
        kept=True,
    )


def _profile(setup: Setup, name: str, words: list[str]) -> Part:
    words = [PYTHON, "-m", "tests.tools.gpu.profiling", *words, "--device", setup.device]
    words += ["--tiny"] if setup.tiny else []
    return Part(name, lambda _seconds: words, 45, last_json)


def _hifigan(words: list[str]) -> Callable[[float], list[str]]:
    return lambda _seconds: [PYTHON, "-m", "hifigan_cli", *words]


def last_json(text: str) -> Any:
    """Return the last line that is a JSON object."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return ABSENT


def lines(path: Path) -> list[Any]:
    """Return the complete lines of a file of JSON lines; none where there is no such file."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:  # the last one, cut by a kill
            continue
    return found
