"""Opening a prepared folder: what was changed is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.data import open_prepared
from hifigan_cli.errors import InputError
from tests.data.corpora import corpus, prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared")
    prepared(corpus(path / "in", 4), path / "out")
    return path / "out"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path, dirs_exist_ok=True))


@pytest.mark.parametrize(
    "name", ["samples-00000.i16", "clips.jsonl", "rejected.jsonl", "prepared.json"]
)
def test_missing_and_cut_files(copy: Path, name: str) -> None:
    """A folder that lost or cut a file is refused, by the file's name."""
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
def test_flipped_bits_are_found(copy: Path, seed: int) -> None:
    """In the index and the manifest at opening, in the samples by `verify`."""
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
    """Tell whether a flip in the manifest only changed blank space."""
    if name != "prepared.json":
        return False
    return before.split() == after.split()


def test_not_a_prepared_folder(tmp_path: Path) -> None:
    """A folder that is missing, and one that never was finished, say how to make one."""
    with pytest.raises(InputError, match="no folder") as caught:
        open_prepared(tmp_path / "none")
    assert "hifigan preprocess" in str(caught.value.hint)
    with pytest.raises(InputError, match="not a prepared folder"):
        open_prepared(tmp_path)


def test_a_file_cut_while_open_is_no_crash(copy: Path) -> None:
    """Reading a mapped page that is gone would kill the process; it is an error with a name."""
    data = open_prepared(copy)
    last = max((*data.training, *data.validation), key=lambda clip: clip.offset)
    data.samples(last)
    with (copy / "samples-00000.i16").open("r+b") as file:
        file.truncate(last.offset * 2)
    with pytest.raises(InputError, match=last.name):
        data.samples(last)


def test_no_given_mels(folder: Path) -> None:
    """Asking for mels that were never given says how to give them."""
    data = open_prepared(folder)
    assert not data.has_mels
    assert data.mel is None
    with pytest.raises(InputError, match="no given mels"):
        data.given_mel(data.training[0])
