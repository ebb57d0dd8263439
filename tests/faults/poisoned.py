"""The `hifigan` command with small discriminators and one thing that goes wrong in it.

`POISON` says what: `nan FIRST LAST` makes the generator's loss NaN at these steps, counted from 1;
`kill STEP half written` and `kill STEP before the rename` die while that checkpoint is saved.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hifigan_cli.io import files
from hifigan_cli.io import tensor_file as tensorfile
from hifigan_cli.training import step as training_step
from tests.training import small


def poison(words: list[str]) -> None:
    """Arrange what shall go wrong."""
    if words[0] == "nan":
        _nan(range(int(words[1]), int(words[2]) + 1))
    else:
        _kill(f"step_{int(words[1]):08d}", half=words[2] == "half")


def _nan(steps: range) -> None:
    reconstruction_loss: Callable[..., Any] = training_step.reconstruction_loss

    def poisoned(state: Any, *rest: Any) -> Any:
        loss, mel = reconstruction_loss(state, *rest)
        bad = state.step + 1 in steps
        return (loss * float("nan") if bad else loss), mel

    training_step.reconstruction_loss = poisoned  # type: ignore[assignment]  # of any arguments


def _kill(name: str, *, half: bool) -> None:
    replacing = files.replacing

    @contextmanager
    def deadly(path: Path) -> Iterator[Path]:
        with replacing(path) as temporary:
            yield temporary
            if name in path.name:
                if half:
                    os.truncate(temporary, temporary.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

    tensorfile.__dict__["replacing"] = deadly


if __name__ == "__main__":
    from hifigan_cli.cli.main import main

    small.shrink()
    poison(os.environ["POISON"].split())
    main()
