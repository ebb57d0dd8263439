"""How much memory hours of mel take, through one pipe and one process.

    python -m tests.tools.hours [--hours 10] [--model ljspeech-v1] [OPTIONS OF VOCODE ...]

Frames go into `hifigan vocode - -o - --raw` in pushes of about five seconds, samples come out.
Every ten minutes of speech the process is looked at: all that it holds, its imports included, and
the most that it ever held. Linux only.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from hifigan_cli.importers.model_lookup import open_model
from tests.forkserver import HIFIGAN
from tests.helpers import environment

_PUSH_FRAMES, _LOOK_S = 400, 600.0


def main() -> None:
    """Push the hours through; print a line at every look."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--model", default="ljspeech-v1")
    chosen, options = parser.parse_known_args()
    mel = open_model(chosen.model).mel
    piece = (0.8 * np.random.default_rng(0).standard_normal((_PUSH_FRAMES, mel.n_mels)) - 5).astype(
        np.float32
    )
    push_s = _PUSH_FRAMES * mel.hop_length / mel.sample_rate
    pushes = round(chosen.hours * 3600 / push_s)
    words = ["vocode", "-", "-o", "-", "--raw", "--quiet", "-m", chosen.model, *options]
    started = time.monotonic()
    with subprocess.Popen(
        [*HIFIGAN, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:

        def feed() -> None:
            assert process.stdin
            for _ in range(pushes):
                process.stdin.write(piece.tobytes())
            process.stdin.close()

        threading.Thread(target=feed, daemon=True).start()
        assert process.stdout
        made_s, next_look_s = 0.0, 0.0
        while samples := process.stdout.read(_PUSH_FRAMES * mel.hop_length * 2):
            made_s += len(samples) / 2 / mel.sample_rate
            if made_s >= next_look_s and len(samples) == _PUSH_FRAMES * mel.hop_length * 2:
                next_look_s = made_s - made_s % _LOOK_S + _LOOK_S
                _tell(process.pid, made_s, started)
    sys.exit(process.returncode)


def _tell(process: int, made_s: float, started: float) -> None:
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    held, most = (
        int(re.findall(rf"^{field}:\s*(\d+) kB", status, re.MULTILINE)[0]) * 1024 / 1e6
        for field in ("VmRSS", "VmHWM")
    )
    took_s = time.monotonic() - started
    print(
        f"{made_s / 3600:6.2f} h: {held:.0f} MB, at most {most:.0f}; "
        f"{made_s / took_s:.1f} x real time",
        flush=True,
    )


if __name__ == "__main__":
    main()
