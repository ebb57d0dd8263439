"""A single flipped bit is detected in every file that can be read back."""

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
from tests.enhancement.helpers import write_tiny_enhancer
from tests.models_for_tests import write_tiny_model
from tests.training import small

FLIPS = 100  # per file


def flip_bits(path: Path, seed: int, count: int) -> Iterator[int]:
    """Flip one bit of a file at a time and restore it; half of them in the first 4096 bytes."""
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for number in range(count):
        end = min(4096, len(content)) if number % 2 else len(content)
        offset, bit = int(rng.integers(end)), 1 << int(rng.integers(8))
        content[offset] ^= bit
        path.write_bytes(content)
        yield offset
        content[offset] ^= bit
    path.write_bytes(content)


def count_detected(
    path: Path, seed: int, read: Callable[[], object], error: type[Exception]
) -> int:
    """Count the flips that a reader detects; check that it accepts the intact file."""
    read()
    detected = 0
    for offset in flip_bits(path, seed, FLIPS):
        try:
            read()
        except error:
            detected += 1
        else:
            print(f"{path.name}: bit at byte {offset} of {path.stat().st_size} was not detected")
    read()
    return detected


def test_flipped_bits_in_models(tmp_path: Path) -> None:
    """Vocoder and enhancer files: header, description, weights."""
    vocoder = write_tiny_model(tmp_path / "v.safetensors")
    enhancer = write_tiny_enhancer(tmp_path / "e.safetensors")
    assert count_detected(vocoder, 1, lambda: read_model(vocoder), ModelError) == FLIPS
    assert count_detected(enhancer, 2, lambda: read_enhancer(enhancer), ModelError) == FLIPS


def test_flipped_bits_in_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints: networks, optimizer moments, random states, configuration."""
    small.use_small_discriminators(monkeypatch.setattr)
    path = tmp_path / "step_00000000.safetensors"
    write_checkpoint(path, VocoderState(small.config(), torch.device("cpu")), "digest")
    assert count_detected(path, 3, lambda: read_checkpoint(path), ModelError) == FLIPS


@pytest.mark.parametrize("name", ["samples-00001.i16", "prepared.json", "clips.jsonl", "mels"])
def test_flipped_bits_in_prepared_data(tmp_path: Path, name: str) -> None:
    """Samples, mels, index and manifest: the error has the name of the changed file."""
    folder = small.prepare(tmp_path / "data", mels=True)
    path = folder / ("mels-00000.f32" if name == "mels" else name)

    def read() -> None:
        open_prepared(folder).verify()

    read()
    detected = 0
    for _ in flip_bits(path, 4, FLIPS // 4):
        with pytest.raises(InputError) as caught:
            read()
        assert path.name in caught.value.message
        detected += 1
    assert detected == FLIPS // 4
    read()
