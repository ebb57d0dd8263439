"""How long the command line takes to answer."""

from __future__ import annotations

import os
import subprocess
import sys

# Measured: a bare Python 0.024 s of the processor, `--help` 0.22 s. It must stay under 0.5 s;
# where a machine is slow or busy, bare starts take longer as well.
_MOST_S, _BARE_S = 0.5, 0.024


def processor_s(*arguments: str) -> float:
    """Return the least processor time of five runs of Python, in seconds."""
    times = []
    for _ in range(5):
        run = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        assert run.returncode == 0
        times.append(usage.ru_utime + usage.ru_stime)
    return min(times)


def test_help_answers_at_once() -> None:
    """Guard start-up: half a second on the machine it was measured on, as many times as long on a
    slower one."""
    bare_s = processor_s("-c", "pass")
    assert processor_s("-m", "hifigan_cli", "--help") < _MOST_S * max(1.0, bare_s / _BARE_S)
