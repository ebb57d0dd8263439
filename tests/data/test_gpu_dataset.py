"""Batches out of the device's memory are those out of the mapped files, to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hifigan_cli.data.batches import StepBatches
from hifigan_cli.data.gpu_dataset import GpuBatches, fits
from hifigan_cli.data.prepared import open_prepared
from tests.training import small


@pytest.mark.parametrize(("rank", "world", "segment"), [(0, 1, 1024), (1, 2, 1024), (0, 1, 4096)])
def test_segments_are_the_same(tmp_path: Path, rank: int, world: int, segment: int) -> None:
    """Protects the scale, the padding of short clips, shares and epochs."""
    data = open_prepared(small.prepare(tmp_path / "data", seed=segment))
    config = small.config(segment_samples=segment)
    assert any(clip.samples < 4096 for clip in data.training)
    mapped = StepBatches(data, config, rank, world)
    resident = GpuBatches(data, config, rank, world)
    for step in (0, 1, 7, 100):
        found, expected = resident[step].samples, mapped[step].samples
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_a_processor_maps_its_files(tmp_path: Path) -> None:
    """Protects a machine's memory from a copy of what is mapped already."""
    assert not fits(open_prepared(small.prepare(tmp_path / "data")), torch.device("cpu"))
