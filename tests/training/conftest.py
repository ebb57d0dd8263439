"""Fixtures for the tests of training."""

from __future__ import annotations

import pytest

from tests.training import small


@pytest.fixture
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this test's networks a few thousand weights."""
    small.shrink(monkeypatch.setattr)
