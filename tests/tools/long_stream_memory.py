"""Measure the memory of one `hifigan vocode` process that reads hours of mel from a pipe.

    python -m tests.tools.long_stream_memory [--hours 10] [--model ljspeech-v1] [VOCODE OPTIONS]

`hifigan vocode - -o - --raw` reads chunks of about five seconds and writes samples. Every ten
minutes of speech, this prints the memory of the process and its peak, with imports. Linux only.
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

_CHUNK_FRAMES, _REPORT_EVERY_S = 400, 600.0


def main() -> None:
    """Send the mel and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--model", default="ljspeech-v1")
    known, options = parser.parse_known_args()
    mel = open_model(known.model).mel
    chunk = (
        0.8 * np.random.default_rng(0).standard_normal((_CHUNK_FRAMES, mel.n_mels)) - 5
    ).astype(np.float32)
    chunk_s = _CHUNK_FRAMES * mel.hop_length / mel.sample_rate
    chunks = round(known.hours * 3600 / chunk_s)
    arguments = ["vocode", "-", "-o", "-", "--raw", "--quiet", "-m", known.model, *options]
    started = time.monotonic()
    with subprocess.Popen(
        [*HIFIGAN, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:

        def feed() -> None:
            assert process.stdin
            for _ in range(chunks):
                process.stdin.write(chunk.tobytes())
            process.stdin.close()

        threading.Thread(target=feed, daemon=True).start()
        assert process.stdout
        generated_s, next_report_s = 0.0, 0.0
        while samples := process.stdout.read(_CHUNK_FRAMES * mel.hop_length * 2):
            generated_s += len(samples) / 2 / mel.sample_rate
            if generated_s >= next_report_s and len(samples) == _CHUNK_FRAMES * mel.hop_length * 2:
                next_report_s = generated_s - generated_s % _REPORT_EVERY_S + _REPORT_EVERY_S
                _report(process.pid, generated_s, started)
    sys.exit(process.returncode)


def _report(pid: int, generated_s: float, started: float) -> None:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    memory_mb, peak_mb = (
        int(re.findall(rf"^{field}:\s*(\d+) kB", status, re.MULTILINE)[0]) * 1024 / 1e6
        for field in ("VmRSS", "VmHWM")
    )
    elapsed_s = time.monotonic() - started
    print(
        f"{generated_s / 3600:6.2f} h: {memory_mb:.0f} MB, peak {peak_mb:.0f} MB; "
        f"{generated_s / elapsed_s:.1f} x real time",
        flush=True,
    )


if __name__ == "__main__":
    main()
