"""A single flipped bit is found, wherever it is, in whatever is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.enhancement.model_file import read_enhancer
from hifigan_cli.errors import InputError, ModelError
from hifigan_cli.models import read_model
from hifigan_cli.training.checkpoint import read_checkpoint, write_checkpoint
from hifigan_cli.training.state import VocoderState
from tests.enhancement.small import write_tiny_enhancer
from tests.models_for_tests import write_tiny_model
from tests.training import small

FLIPS = 100  # in each of three kinds; 300 in all


def flips(path: Path, seed: int, count: int) -> Iterator[int]:
    """Flip one bit of a file at a time, and flip it back; half of them in its first part."""
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for number in range(count):
        end = min(4096, len(content)) if number % 2 else len(content)
        at, bit = int(rng.integers(end)), 1 << int(rng.integers(8))
        content[at] ^= bit
        path.write_bytes(content)
        yield at
        content[at] ^= bit
    path.write_bytes(content)


def found(path: Path, seed: int, read: Callable[[], object], error: type[Exception]) -> int:
    """Count the flips that a reader finds; check that it reads the file itself."""
    read()
    caught = 0
    for at in flips(path, seed, FLIPS):
        try:
            read()
        except error:
            caught += 1
        else:
            print(f"{path.name}: bit at byte {at} of {path.stat().st_size} went unnoticed")
    read()
    return caught


def test_flipped_bits_in_models(tmp_path: Path) -> None:
    """Vocoders and enhancers: header, description, weights."""
    vocoder = write_tiny_model(tmp_path / "v.safetensors")
    enhancer = write_tiny_enhancer(tmp_path / "e.safetensors")
    assert found(vocoder, 1, lambda: read_model(vocoder), ModelError) == FLIPS
    assert found(enhancer, 2, lambda: read_enhancer(enhancer), ModelError) == FLIPS


def test_flipped_bits_in_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks, moments, random numbers, configuration."""
    small.shrink(monkeypatch.setattr)
    path = tmp_path / "step_00000000.safetensors"
    write_checkpoint(path, VocoderState(small.config(), torch.device("cpu")), "digest")
    assert found(path, 3, lambda: read_checkpoint(path), ModelError) == FLIPS


@pytest.mark.parametrize("name", ["samples-00001.i16", "prepared.json", "clips.jsonl", "mels"])
def test_flipped_bits_in_prepared_data(tmp_path: Path, name: str) -> None:
    """Samples, mels, index and manifest; a file that changed is named."""
    folder = small.prepare(tmp_path / "data", mels=True)
    path = folder / ("mels-00000.f32" if name == "mels" else name)

    def read() -> None:
        open_prepared(folder).verify()

    read()
    caught = 0
    for _ in flips(path, 4, FLIPS // 4):
        with pytest.raises(InputError) as refused:
            read()
        assert path.name in refused.value.message
        caught += 1
    assert caught == FLIPS // 4
    read()
