"""Mel files: every format is read; axes, bands and types that no mel has are refused."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from hifigan_cli.audio import mel_spectrogram
from hifigan_cli.config import MelConfig
from hifigan_cli.errors import InputError
from hifigan_cli.synthesis.input_mel import open_mel
from hifigan_cli.synthesis.mel_files import torch_mels
from tests.helpers import speech


def load_mel(
    source: Path | bytes, n_mels: int, *, transpose: bool = False, check: bool = True
) -> np.ndarray:
    """Return the array of a mel file for a model of so many bands."""
    return open_mel(source, MelConfig(n_mels=n_mels), transpose=transpose, check=check).array


@pytest.fixture
def mel() -> np.ndarray:
    """Return a log-mel of something like speech, `(mels, frames)`."""
    return mel_spectrogram(torch.from_numpy(speech(1.0))[None])[0].numpy()


def test_every_format(tmp_path: Path, mel: np.ndarray) -> None:
    """The four formats, with and without the name mel, give the same numbers."""
    np.save(tmp_path / "a.npy", mel)
    np.savez(tmp_path / "b.npz", mel=mel, other=np.zeros(3))
    np.savez_compressed(tmp_path / "c.npz", mel)
    torch.save(torch.from_numpy(mel), tmp_path / "d.pt")
    torch.save({"mel": torch.from_numpy(mel)[None]}, tmp_path / "e.pt")
    save_file({"mel": mel}, tmp_path / "f.safetensors")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(load_mel(path, 80), mel, err_msg=path.name)
        np.testing.assert_array_equal(load_mel(path.read_bytes(), 80), mel, err_msg=path.name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_types(tmp_path: Path, mel: np.ndarray, dtype: type) -> None:
    """Any floating-point type is a mel."""
    np.save(tmp_path / "m.npy", mel.astype(dtype))
    assert load_mel(tmp_path / "m.npy", 80).dtype == dtype


def test_npy_stays_on_disk(tmp_path: Path, mel: np.ndarray) -> None:
    """A long .npy is mapped: its length costs no memory."""
    np.save(tmp_path / "m.npy", mel)
    assert isinstance(load_mel(tmp_path / "m.npy", 80).base, np.memmap) or isinstance(
        load_mel(tmp_path / "m.npy", 80), np.memmap
    )


def test_transpose(tmp_path: Path, mel: np.ndarray) -> None:
    """Frames first is refused with the option that turns it, and turned by it."""
    np.save(tmp_path / "m.npy", mel.T)
    with pytest.raises(InputError) as caught:
        load_mel(tmp_path / "m.npy", 80)
    assert "--transpose" in (caught.value.hint or "")
    np.testing.assert_array_equal(load_mel(tmp_path / "m.npy", 80, transpose=True), mel)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((64, 100), np.float32), r"\(64, 100\), not \(80, frames\)"),
        (np.zeros((80, 0), np.float32), "shape"),
        (np.zeros((2, 80, 100), np.float32), "shape"),
        (np.zeros(100, np.float32), "shape"),
        (np.zeros((80, 100), np.int16), "int16"),
        (np.zeros((80, 100), np.complex64), "complex64"),
    ],
)
def test_wrong_arrays(tmp_path: Path, array: np.ndarray, message: str) -> None:
    """Axes, bands and types that no mel has are named."""
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(InputError, match=message):
        load_mel(tmp_path / "m.npy", 80)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number(tmp_path: Path, mel: np.ndarray, value: float) -> None:
    """The first value that is not a number is named by band and frame."""
    mel = mel.copy()
    mel[7, 40] = value
    np.save(tmp_path / "m.npy", mel)
    with pytest.raises(InputError, match="band 7, frame 40"):
        load_mel(tmp_path / "m.npy", 80, check=False)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_pickles_never_run(tmp_path: Path) -> None:
    """Object arrays and pickled code are refused and not executed."""
    fuse = tmp_path / "ran"
    files = {"a.npy": None, "b.pt": None, "c.pt": None}
    np.save(tmp_path / "a.npy", np.array([Bomb(fuse)], dtype=object), allow_pickle=True)
    torch.save({"mel": Bomb(fuse)}, tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(pickle.dumps(Bomb(fuse)))
    for name in files:
        with pytest.raises(InputError):
            load_mel(tmp_path / name, 80)
    assert not fuse.exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(50), bytes(1000)])
def test_bytes_that_are_no_mel(tmp_path: Path, content: bytes) -> None:
    """Empty, cut and foreign files are input errors."""
    path = tmp_path / "m.npy"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_mel(path, 80)


def test_a_reader_that_fails_without_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception without a message is an input error like any other."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ValueError

    monkeypatch.setattr(np, "load", fail)
    (tmp_path / "m.npy").write_bytes(b"\x93NUMPY anything")
    with pytest.raises(InputError, match="ValueError"):
        load_mel(tmp_path / "m.npy", 80)


def test_claims_of_a_pytorch_file(tmp_path: Path) -> None:
    """Strides of zero make any size of a few bytes: refused, and nothing of it is allocated."""
    claim = torch.zeros(1).expand(80, 1 << 30)
    torch.save({"mel": claim}, tmp_path / "m.pt")
    assert (tmp_path / "m.pt").stat().st_size < 5000
    for source in (tmp_path / "m.pt", (tmp_path / "m.pt").read_bytes()):
        with pytest.raises(InputError, match="claims more numbers"):
            load_mel(source, 80)


def test_a_pytorch_mel_is_never_read_here(
    tmp_path: Path, mel: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process unpickles it: this one needs no torch for it, whatever the type."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("unpickled in this process")

    torch.save({"mel": torch.from_numpy(mel).bfloat16(), "step": 3}, tmp_path / "m.pt")
    monkeypatch.setattr(torch, "load", fail)
    read = load_mel(tmp_path / "m.pt", 80)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, mel, rtol=2**-8)


def test_many_pytorch_mels_cost_one_process(
    tmp_path: Path, mel: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch_mels` reads a folder's PyTorch files together; a bad one is named, others are read."""
    for name in ("a.pt", "b.pth"):
        torch.save(torch.from_numpy(mel), tmp_path / name)
    (tmp_path / "c.pt").write_bytes(b"bad")
    np.save(tmp_path / "d.npy", mel)
    run = Mock(wraps=subprocess.run)
    monkeypatch.setattr(subprocess, "run", run)
    batches = torch_mels(sorted(tmp_path.iterdir()))
    for name in ("a.pt", "b.pth", "d.npy"):
        opened = open_mel(tmp_path / name, MelConfig(), batches=batches)
        np.testing.assert_array_equal(opened.array, mel)
    with pytest.raises(InputError, match=r"c\.pt"):
        open_mel(tmp_path / "c.pt", MelConfig(), batches=batches)
    assert run.call_count == 1


def test_archive_with_several_arrays(tmp_path: Path) -> None:
    """An archive without an array named mel says what it has."""
    np.savez(tmp_path / "m.npz", one=np.zeros(3), two=np.zeros(3))
    with pytest.raises(InputError, match="one, two"):
        load_mel(tmp_path / "m.npz", 80)
