"""Fixtures for the tests of training."""

from __future__ import annotations

import pytest

from tests.training import small


@pytest.fixture
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use discriminators with a few thousand weights."""
    small.use_small_discriminators(monkeypatch.setattr)
