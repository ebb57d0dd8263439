"""Fixtures for the fault matrix: the command line and a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hifigan_cli.audio import write_audio
from tests.faults.command import Command
from tests.helpers import speech


@pytest.fixture
def cli(record_property: Callable[[str, object], None]) -> Command:
    """Return an object that runs `hifigan` and records its exit codes."""
    return Command(lambda code: record_property("exit_code", code))


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Write a mono recording of half a second at 22 050 Hz."""
    write_audio(tmp_path / "in.wav", speech(0.5), 22_050)
    return tmp_path / "in.wav"
