"""The device under test, and a way to report what was measured on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.training import small

Record = Callable[[str, float], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder that ask for the device."""
    for item in items:
        if "device" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Return the device under test: the first GPU, or what TEST_DEVICE says."""
    name = os.environ.get("TEST_DEVICE", "cuda:0")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(name)


@pytest.fixture
def strict_fp32(device: torch.device) -> Iterator[None]:
    """Let convolutions compute in float32: torch's default on CUDA is TF32, with 10 bits."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Return what stores a measured figure in the test report."""

    def store(name: str, value: float) -> None:
        record_property(name, f"{value:.3g}")

    return store


@pytest.fixture
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this test's networks a few thousand weights."""
    small.shrink(monkeypatch.setattr)
