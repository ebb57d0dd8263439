"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.faults.matrix import MatrixReport

# No deadline: a busy machine must not fail a test.
settings.register_profile("hifigan", deadline=None, max_examples=30)
settings.load_profile("hifigan")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Give each xdist worker one thread, before anything imports torch; report the fault matrix."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
    config.pluginmanager.register(MatrixReport())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings next to the checkout, or skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the recordings in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def ljspeech_clips(shared_data: Path) -> list[Path]:
    """Return the real LJSpeech clips, 22 050 Hz FLAC, or skip."""
    return sorted((shared_data / "valid" / "ljspeech").glob("*.flac"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file that synthesizes in milliseconds."""
    from tests.models_for_tests import write_tiny_model  # imports torch: after setting threads

    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return prepared data of ten short clips, for training."""
    from tests.training import small  # imports torch

    return small.prepare(tmp_path_factory.mktemp("data") / "prepared")
