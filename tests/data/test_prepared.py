"""Test opening a prepared folder: every change is detected."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.data import open_prepared
from hifigan_cli.errors import InputError
from tests.data.corpora import prepare_and_open, write_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared")
    prepare_and_open(write_corpus(path / "in", 4), path / "out")
    return path / "out"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path, dirs_exist_ok=True))


@pytest.mark.parametrize(
    "name", ["samples-00000.i16", "clips.jsonl", "rejected.jsonl", "prepared.json"]
)
def test_missing_and_truncated_files(copy: Path, name: str) -> None:
    """A missing or truncated file is an error that names it."""
    content = (copy / name).read_bytes()
    if content:
        (copy / name).write_bytes(content[:-2])
        with pytest.raises(InputError, match=name):
            open_prepared(copy)
    (copy / name).unlink()
    with pytest.raises(InputError) as caught:
        open_prepared(copy)
    assert caught.value.hint


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_detected(copy: Path, seed: int) -> None:
    """Opening checks the index and the manifest; `verify` checks the samples."""
    rng = np.random.default_rng(seed)
    for name in ("samples-00000.i16", "clips.jsonl", "prepared.json"):
        content = (copy / name).read_bytes()
        for _ in range(20):
            flipped = bytearray(content)
            flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
            (copy / name).write_bytes(flipped)
            if _same_json(name, content, bytes(flipped)):
                continue
            with pytest.raises(InputError):
                open_prepared(copy).verify()
        (copy / name).write_bytes(content)
    open_prepared(copy).verify()


def _same_json(name: str, before: bytes, after: bytes) -> bool:
    """Return whether a change in the manifest affects only whitespace."""
    if name != "prepared.json":
        return False
    return before.split() == after.split()


def test_not_a_prepared_folder(tmp_path: Path) -> None:
    """For a missing folder and an unfinished one, the hint names the command."""
    with pytest.raises(InputError, match="none") as caught:
        open_prepared(tmp_path / "none")
    assert "hifigan preprocess" in str(caught.value.hint)
    with pytest.raises(InputError, match=tmp_path.name) as caught:
        open_prepared(tmp_path)
    assert "hifigan preprocess" in str(caught.value.hint)


def test_file_truncated_while_open(copy: Path) -> None:
    """Reading a missing page would kill the process; the error names the clip instead."""
    data = open_prepared(copy)
    last = max((*data.training, *data.validation), key=lambda clip: clip.offset)
    data.samples(last)
    with (copy / "samples-00000.i16").open("r+b") as file:
        file.truncate(last.offset * 2)
    with pytest.raises(InputError, match=last.name):
        data.samples(last)


def test_no_input_mels(folder: Path) -> None:
    """Reading mels from a folder without mels is an error."""
    data = open_prepared(folder)
    assert not data.has_mels
    assert data.mel_config is None
    with pytest.raises(InputError) as caught:
        data.input_mel(data.training[0])
    assert "--mels" in str(caught.value.hint)
