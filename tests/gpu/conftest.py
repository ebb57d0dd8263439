"""The device under test, and a way to report what was measured on it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def limited_memory(device: torch.device, more_bytes: float) -> Iterator[None]:
    """Let torch take only so much more of a GPU than it holds."""
    if device.type != "cuda":
        pytest.skip("limits the memory of a GPU")
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    held = torch.cuda.memory_reserved(device)
    torch.cuda.set_per_process_memory_fraction((held + more_bytes) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
