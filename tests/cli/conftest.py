"""Recordings for the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.audio import write_audio
from tests.helpers import speech


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """Return a mono recording of 1.3 s at 22 050 Hz."""
    write_audio(tmp_path / "in.wav", speech(1.3), 22_050)
    return tmp_path / "in.wav"


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """Return a stereo recording of 0.7 s at 48 000 Hz with two different channels."""
    channels = np.stack([speech(0.7, 48_000, 1), speech(0.7, 48_000, 2)])
    write_audio(tmp_path / "stereo.flac", channels, 48_000)
    return tmp_path / "stereo.flac"
