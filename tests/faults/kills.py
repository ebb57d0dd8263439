"""Commands killed at random moments, again and again, until they have done their work.

A chain of kills starts a command, kills it -9 at a moment drawn from the seed, starts it again, and
so on; the last time it may end. What it has made then must be what an undisturbed run makes.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from tests.forkserver import Process, start
from tests.helpers import environment


def chain(
    program: Sequence[str],
    words: Sequence[str | Path],
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
        died = _killed(program, words, begun, float(rng.uniform(0, within_s)))
        check()
        if died and unfinished():
            killed += 1
            continue
        late += 1
        assert late <= 2 * kills + 5, f"{killed} of {kills} kills came in time, {late} too late"
        shutil.rmtree(out)
        check()
    with tempfile.TemporaryFile() as errors:
        assert _start(program, words, errors).wait(200) == 0, _text(errors)
    check()


def _start(program: Sequence[str], words: Sequence[str | Path], errors: IO[bytes]) -> Process:
    with Path(os.devnull).open("r+b") as nothing:
        streams = nothing.fileno(), nothing.fileno(), errors.fileno()
        return start(program, words, streams, environment())


def _text(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode()


def _killed(
    program: Sequence[str],
    words: Sequence[str | Path],
    begun: Callable[[], bool],
    after_s: float,
) -> bool:
    with tempfile.TemporaryFile() as errors:
        run = _start(program, words, errors)
        deadline = time.monotonic() + 200
        while not begun() and run.poll() is None:
            if time.monotonic() > deadline:
                os.killpg(run.pid, signal.SIGKILL)
                raise TimeoutError(f"nothing was begun in 200 s: {words}")
            time.sleep(0.002)
        end = time.monotonic() + after_s
        while run.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        code = run.wait(60)
        assert code in (0, -signal.SIGKILL), _text(errors)
    return code != 0
