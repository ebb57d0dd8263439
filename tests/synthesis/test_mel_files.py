"""Mel files: all formats are read; wrong axes, bands and types are rejected."""

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
from hifigan_cli.synthesis.mel_files import torch_mel_files
from tests.helpers import speech


def load_mel(
    source: Path | bytes, n_mels: int, *, transpose: bool = False, check: bool = True
) -> np.ndarray:
    """Return the array of a mel file for a model with `n_mels` bands."""
    return open_mel(source, MelConfig(n_mels=n_mels), transpose=transpose, check=check).array


@pytest.fixture
def mel() -> np.ndarray:
    """Return a log-mel `(n_mels, frames)` of speech-like sound."""
    return mel_spectrogram(torch.from_numpy(speech(1.0))[None])[0].numpy()


def test_all_formats(tmp_path: Path, mel: np.ndarray) -> None:
    """The four formats, with and without the array name mel, have the same values."""
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
    """A mel may have any floating-point type."""
    np.save(tmp_path / "m.npy", mel.astype(dtype))
    assert load_mel(tmp_path / "m.npy", 80).dtype == dtype


def test_npy_is_memory_mapped(tmp_path: Path, mel: np.ndarray) -> None:
    """A long .npy file uses no memory."""
    np.save(tmp_path / "m.npy", mel)
    assert isinstance(load_mel(tmp_path / "m.npy", 80).base, np.memmap) or isinstance(
        load_mel(tmp_path / "m.npy", 80), np.memmap
    )


def test_transpose(tmp_path: Path, mel: np.ndarray) -> None:
    """A frames-first mel is an error that suggests --transpose, and that option works."""
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
    """The errors of wrong axes, bands and types name them."""
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(InputError, match=message):
        load_mel(tmp_path / "m.npy", 80)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_value(tmp_path: Path, mel: np.ndarray, value: float) -> None:
    """The error has the band and frame of the first NaN or infinite value."""
    mel = mel.copy()
    mel[7, 40] = value
    np.save(tmp_path / "m.npy", mel)
    with pytest.raises(InputError, match="band 7, frame 40"):
        load_mel(tmp_path / "m.npy", 80, check=False)


class MaliciousPickle:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_pickles_never_run(tmp_path: Path) -> None:
    """Object arrays and pickled code are rejected and not executed."""
    marker = tmp_path / "ran"
    payload = MaliciousPickle(marker)
    np.save(tmp_path / "a.npy", np.array([payload], dtype=object), allow_pickle=True)
    torch.save({"mel": payload}, tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(pickle.dumps(payload))
    for name in ("a.npy", "b.pt", "c.pt"):
        with pytest.raises(InputError):
            load_mel(tmp_path / name, 80)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(50), bytes(1000)])
def test_invalid_files(tmp_path: Path, content: bytes) -> None:
    """Empty, truncated and other files are input errors."""
    path = tmp_path / "m.npy"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_mel(path, 80)


def test_exception_without_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the reader raises an exception without a message, the input error has its class name."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ValueError

    monkeypatch.setattr(np, "load", fail)
    (tmp_path / "m.npy").write_bytes(b"\x93NUMPY anything")
    with pytest.raises(InputError, match="ValueError"):
        load_mel(tmp_path / "m.npy", 80)


def test_huge_shape_in_a_pytorch_file(tmp_path: Path) -> None:
    """A small file with zero strides can claim any size: it is rejected before any allocation."""
    claim = torch.zeros(1).expand(80, 1 << 30)
    torch.save({"mel": claim}, tmp_path / "m.pt")
    assert (tmp_path / "m.pt").stat().st_size < 5000
    for source in (tmp_path / "m.pt", (tmp_path / "m.pt").read_bytes()):
        with pytest.raises(InputError, match="more numbers"):
            load_mel(source, 80)


def test_pytorch_mel_is_read_in_another_process(
    tmp_path: Path, mel: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child process unpickles the file; this process needs no torch, even for bfloat16."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("unpickled in this process")

    torch.save({"mel": torch.from_numpy(mel).bfloat16(), "step": 3}, tmp_path / "m.pt")
    monkeypatch.setattr(torch, "load", fail)
    loaded = load_mel(tmp_path / "m.pt", 80)
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, mel, rtol=2**-8)


def test_many_pytorch_mels_share_a_process(
    tmp_path: Path, mel: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch_mel_files` reads files in one process; a bad one does not affect the others."""
    for name in ("a.pt", "b.pth"):
        torch.save(torch.from_numpy(mel), tmp_path / name)
    (tmp_path / "c.pt").write_bytes(b"bad")
    np.save(tmp_path / "d.npy", mel)
    run = Mock(wraps=subprocess.run)
    monkeypatch.setattr(subprocess, "run", run)
    torch_files = torch_mel_files(sorted(tmp_path.iterdir()))
    for name in ("a.pt", "b.pth", "d.npy"):
        opened = open_mel(tmp_path / name, MelConfig(), torch_files=torch_files)
        np.testing.assert_array_equal(opened.array, mel)
    with pytest.raises(InputError, match=r"c\.pt"):
        open_mel(tmp_path / "c.pt", MelConfig(), torch_files=torch_files)
    assert run.call_count == 1


def test_archive_with_several_arrays(tmp_path: Path) -> None:
    """The error of an archive without an array named mel lists its arrays."""
    np.savez(tmp_path / "m.npz", one=np.zeros(3), two=np.zeros(3))
    with pytest.raises(InputError, match="one, two"):
        load_mel(tmp_path / "m.npz", 80)
