"""The `hifigan` command with small discriminators and an injected fault.

The variable `FAULT` selects it. `nan FIRST LAST` sets the generator's loss to NaN at these steps,
counted from 1. `kill STEP half written` and `kill STEP before the rename` kill the process while it
saves that checkpoint.
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


def inject(args: list[str]) -> None:
    """Inject a fault into this process."""
    if args[0] == "nan":
        _inject_nan(range(int(args[1]), int(args[2]) + 1))
    else:
        _inject_kill(f"step_{int(args[1]):08d}", half=args[2] == "half")


def _inject_nan(steps: range) -> None:
    reconstruction_loss: Callable[..., Any] = training_step.reconstruction_loss

    def faulty_loss(state: Any, *rest: Any) -> Any:
        loss, mel = reconstruction_loss(state, *rest)
        bad = state.step + 1 in steps
        return (loss * float("nan") if bad else loss), mel

    training_step.reconstruction_loss = faulty_loss  # type: ignore[assignment]


def _inject_kill(name: str, *, half: bool) -> None:
    atomic_replace = files.atomic_replace

    @contextmanager
    def replace_and_kill(path: Path) -> Iterator[Path]:
        with atomic_replace(path) as temporary:
            yield temporary
            if name in path.name:
                if half:
                    os.truncate(temporary, temporary.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

    tensorfile.__dict__["atomic_replace"] = replace_and_kill


if __name__ == "__main__":
    from hifigan_cli.cli.main import main

    small.use_small_discriminators()
    inject(os.environ["FAULT"].split())
    main()
