"""The parts: their commands, time limits and results.

`a` correctness, `b` synthesis, `c` training steps, `d` training of the restorer or of the vocoder.
At tiny size, for tests on a CPU, all parts run with small networks and little data.
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
REPORT_FILE = "correctness.jsonl"
LETTERS = "abcd"
NO_RESULT = "no result"
_TINY_SETTINGS = (
    "segment_size=1024",
    "upsample_initial_channel=16",
    "resblock_kernel_sizes=[3]",
    "resblock_dilation_sizes=[[1]]",
)


@dataclass(frozen=True)
class PartOptions:
    """The options that all parts share."""

    out: Path
    data: Path | None
    device: str
    tiny: bool
    network: str = "restorer"  # trained by part d; or vocoder
    workers: int = 14
    extra: tuple[str, ...] = ()  # more options of part d


@dataclass(frozen=True)
class Part:
    """One process.

    Attributes:
        name: its letter and a short title.
        command: returns the command line for an available time in seconds.
        limit_s: time limit.
        min_s: the part is skipped if less time is left.
        reserved: whether earlier parts leave it `min_s`.
        result: returns the result, from the standard output.
        environment: additional environment variables.
    """

    name: str
    command: Callable[[float], list[str]]
    limit_s: float
    result: Callable[[str], Any]
    environment: dict[str, str] = field(default_factory=dict)
    min_s: float = 15
    reserved: bool = False


def all_parts(options: PartOptions) -> list[Part]:
    """Return every part, in the order in which they run."""
    parts = [
        *correctness(options),
        *synthesis(options),
        *training(options),
        *long_training(options),
    ]
    if options.tiny:  # tests share the machine: more threads would wait for each other
        parts = [replace(p, environment={**p.environment, "OMP_NUM_THREADS": "1"}) for p in parts]
    return parts


def correctness(options: PartOptions) -> Iterator[Part]:
    """Yield the comparison of CUDA with the CPU (`tests/gpu`)."""
    report = options.out / REPORT_FILE
    arguments = ["-m", "pytest", "-o", "addopts=", "-o", "filterwarnings=default", "-q"]
    arguments += ["-p", "no:cacheprovider", "-m", "gpu", "--durations=8"]
    # On a CPU, a few of the tests are enough.
    arguments += ["tests/gpu/test_networks.py", "-k", "mel"] if options.tiny else ["tests/gpu"]
    yield Part(
        "a correctness",
        lambda _seconds: [PYTHON, *arguments],
        90,
        lambda _text: lines(report) or NO_RESULT,
        {
            "TEST_DEVICE": options.device,
            "GPU_TESTS_REPORT": str(report),
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        },
    )


def synthesis(options: PartOptions) -> Iterator[Part]:
    """Yield a comparison of the presets with the eager forward pass, and a profile of one."""
    arguments = ["bench", "--engines", "torch", "--device", options.device, "--json"]
    if options.tiny:
        model = write_tiny_model(options.out / "tiny.safetensors")
        arguments += ["-m", str(model), "--lengths", "0.2", "--batch-sizes", "2", "--rounds", "1"]
        yield Part("b synthesis", _hifigan([*arguments, "--no-memory"]), 60, last_json)
    else:
        arguments += ["--lengths", "1,5,20", "--batch-sizes", "1,16", "--rounds", "5"]
        arguments += [part for preset in ("v1", "v2", "v3") for part in ("-m", preset)]
        yield Part("b synthesis", _hifigan(arguments), 100, last_json)
    yield _profile(options, "b profile", ["synthesis", "--batch", "1"])


def training(options: PartOptions) -> Iterator[Part]:
    """Yield a comparison of V1 steps with the loop of the official code, and a profile."""
    arguments = ["bench", "train", "--device", options.device, "--json"]
    if options.tiny:
        arguments += ["--batch-size", "1", "--steps", "1", "--set", "discriminator_width=0.125"]
        arguments += [part for setting in _TINY_SETTINGS for part in ("--set", setting)]
        arguments += ["--fp32"]  # a CPU may emulate bfloat16
    else:
        arguments += ["-p", "v1", "--batch-size", "16", "--steps", "5"]
    strict_fp32 = {"NVIDIA_TF32_OVERRIDE": "0"}  # read by NVIDIA's libraries
    yield Part("c steps", _hifigan(arguments), 90, last_json)
    yield _profile(options, "c profile", ["training"])
    if not options.tiny:
        compiled = [*arguments, "--bf16", "--set", "compile=true"]
        yield Part("c steps compiled", _hifigan(compiled), 150, last_json, min_s=120)
        yield Part(
            "c steps strict fp32", _hifigan([*arguments, "--fp32"]), 60, last_json, strict_fp32
        )


def long_training(options: PartOptions) -> Iterator[Part]:
    """Yield the training of `options.network`, for the remaining time."""
    if options.data is None:
        return
    data = options.data

    def command(seconds: float) -> list[str]:
        arguments = [PYTHON, "-m", f"tests.tools.gpu.{options.network}", str(options.out)]
        arguments += ["--data", str(data), "--minutes", f"{max(5.0, seconds - 10) / 60:.2f}"]
        arguments += ["--device", options.device, "--workers", str(options.workers)]
        tiny = ["--tiny"] if options.tiny and options.network == "restorer" else []
        return [*arguments, *tiny, *options.extra]

    log = options.out / f"{options.network}.jsonl"
    yield Part(
        f"d {options.network}",
        command,
        600,
        lambda _text: (lines(log) or [NO_RESULT])[-1],
        min_s=15 if options.tiny else 240,
        reserved=True,
    )


def _profile(options: PartOptions, name: str, arguments: list[str]) -> Part:
    arguments = [PYTHON, "-m", "tests.tools.gpu.profiling", *arguments, "--device", options.device]
    arguments += ["--tiny"] if options.tiny else []
    return Part(name, lambda _seconds: arguments, 45, last_json)


def _hifigan(arguments: list[str]) -> Callable[[float], list[str]]:
    return lambda _seconds: [PYTHON, "-m", "hifigan_cli", *arguments]


def last_json(text: str) -> Any:
    """Return the last line that is a JSON object."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return NO_RESULT


def lines(path: Path) -> list[Any]:
    """Return the complete lines of a file of JSON lines, or none if the file is missing."""
    objects = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            objects.append(json.loads(line))
        except ValueError:  # the last line, cut off by SIGKILL
            continue
    return objects
