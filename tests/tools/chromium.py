"""A headless browser for tests of HTML pages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


def chromium(page: Path, profile: Path, *arguments: str, time_budget_ms: int = 20_000) -> str:
    """Return the DOM of a page after its scripts have run; skip the test without Chromium."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium")
    run = subprocess.run(
        [
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={time_budget_ms}",
            *arguments,
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    return run.stdout.decode()
