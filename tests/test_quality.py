"""The official weights, through our whole path, sound as good as they are known to."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.interchange import pretrained
from tests.tools.quality import measure


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(pretrained.package_folder() is None, reason="needs the pretrained extra")
def test_ljspeech_v1_reaches_its_known_error(ljspeech_clips: list[Path]) -> None:
    """The official V1 is known to have 0.218; a wrong mel, slope or level costs far more."""
    assert measure("ljspeech-v1", ljspeech_clips).mel_l1_full < 0.23
