"""Commands killed at random moments, again and again, until they have done their work.

A chain of kills starts a command, kills it -9 at a moment drawn from the seed, starts it again, and
so on; the last time it may end. What it has made then must be what an undisturbed run makes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.helpers import environment


def chain(
    line: Sequence[str | Path],
    out: Path,
    begun: Callable[[], bool],
    check: Callable[[], None],
    unfinished: Callable[[], bool],
    *,
    kills: int,
    within_s: float,
    seed: int,
) -> None:
    """Kill a command in mid-work `kills` times, each up to `within_s` after it has `begun`.

    `check` looks at what each killed one has left in `out`. Only a kill that left work `unfinished`
    counts; a command that came to its end first begins anew, with nothing, and another moment is
    drawn. The last run ends by itself.
    """
    rng = np.random.default_rng(seed)
    killed = late = 0
    while killed < kills:
        died = _killed(line, begun, float(rng.uniform(0, within_s)))
        check()
        if died and unfinished():
            killed += 1
            continue
        late += 1
        assert late <= 2 * kills + 5, f"{killed} of {kills} kills came in time, {late} too late"
        shutil.rmtree(out)
        check()
    with _started(line) as run:
        errors = run.communicate(timeout=200)[1].decode()
    assert run.returncode == 0, errors
    check()


def _started(line: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(map(str, line)),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _killed(line: Sequence[str | Path], begun: Callable[[], bool], after_s: float) -> bool:
    with _started(line) as run:
        deadline = time.monotonic() + 200
        while not begun() and run.poll() is None:
            if time.monotonic() > deadline:
                os.killpg(run.pid, signal.SIGKILL)
                raise TimeoutError(f"nothing was begun in 200 s: {line}")
            time.sleep(0.002)
        end = time.monotonic() + after_s
        while run.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        errors = run.communicate(timeout=60)[1].decode()
    assert run.returncode in (0, -signal.SIGKILL), errors
    return run.returncode != 0
