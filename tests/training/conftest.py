"""Fixtures for the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.models.discriminators import period, scale
from tests.training import small


@pytest.fixture
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this test's networks a few thousand weights."""
    monkeypatch.setattr(period, "_CHANNELS", small.PERIOD_CHANNELS)
    monkeypatch.setattr(scale, "_LAYERS", small.SCALE_LAYERS)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return prepared data of ten short clips."""
    return small.prepare(tmp_path_factory.mktemp("data") / "prepared")
