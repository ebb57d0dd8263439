"""Untrusted files are read as data, in a separate process, or rejected."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.importers.foreign_files import (
    MAX_DOCUMENT_BYTES,
    copy_members,
    is_archive,
    load_statistics,
    load_tensors_only,
    parse_document,
    read_document,
)
from hifigan_cli.io import untrusted, untrusted_child
from hifigan_cli.io.untrusted import UntrustedFiles, read_untrusted
from tests.importers.foreign.nvidia_nemo_coqui import archive


class MaliciousPickle:
    """Create a folder when this object is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_load_tensors_and_plain_values(tmp_path: Path) -> None:
    """The child process returns tensors of any dtype, numpy scalars and containers."""
    path = tmp_path / "x.pt"
    content = {
        "state": {"a": torch.randn(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)},
        "numbers": (1, 2.5, None, True, "text", np.float32(0.5), np.int64(7)),
        "array": np.arange(3.0),
        "optimizer": {"state": torch.zeros(1000)},
    }
    torch.save(content, path)
    loaded = load_tensors_only(path)
    assert torch.equal(loaded["state"]["a"], content["state"]["a"])  # type: ignore[index]
    assert loaded["state"]["half"].dtype == torch.bfloat16
    assert loaded["numbers"] == [1, 2.5, None, True, "text", 0.5, 7]
    assert loaded["array"].tolist() == [0.0, 1.0, 2.0]
    assert "optimizer" not in loaded


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    """A pickle with code is rejected; the error names the function that it calls (row 33)."""
    ran = tmp_path / "ran"
    paths = [tmp_path / name for name in ("within.pt", "bare.pt", "old.pt")]
    torch.save({"generator": {"x": MaliciousPickle(ran)}}, paths[0])
    torch.save(MaliciousPickle(ran), paths[1])
    paths[2].write_bytes(pickle.dumps(MaliciousPickle(ran)))
    files = UntrustedFiles("torch", paths, ModelError)
    for path in paths:
        with pytest.raises(ModelError, match=re.escape(path.name)) as caught:
            files.read(path)
        assert "weights_only" not in str(caught.value)  # torch's advice to trust the file
        assert "mkdir" in str(caught.value) or path.name == "old.pt"
    assert not ran.exists()


def test_invalid_checkpoints_are_rejected(tmp_path: Path) -> None:
    """Meta tensors, and empty, foreign and truncated files are errors."""
    torch.save({"a": torch.empty(3, device="meta")}, tmp_path / "meta")
    contents = {
        "empty": b"",
        "text": b"not a checkpoint",
        "zip": b"PK\x03\x04",
        "zeros": bytes(100),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = sorted(tmp_path.iterdir())
    files = UntrustedFiles("torch", paths, ModelError)
    for path in paths:
        with pytest.raises(ModelError, match=path.name):
            files.read(path)
    with pytest.raises(ModelError, match="empty"):
        load_tensors_only(tmp_path / "empty")


def test_code_in_statistics_never_runs(tmp_path: Path) -> None:
    """An object array is unpickled only if it contains numbers."""
    path, ran = tmp_path / "stats.npy", tmp_path / "ran"
    np.save(path, np.array({"mel_mean": MaliciousPickle(ran)}), allow_pickle=True)
    with pytest.raises(ModelError, match="mkdir"):
        load_statistics(path)
    assert not ran.exists()


def test_statistics_formats(tmp_path: Path) -> None:
    """.npy with rows, .npy with a dict, .npz and HDF5 are recognized by their content."""
    h5py = pytest.importorskip("h5py")
    rows = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "columns.npy", rows.astype(">f4").T)
    np.save(tmp_path / "dict.npy", np.array({"mel_mean": rows[0], "config": {"a": 1}}))
    np.savez(tmp_path / "both.npz", mean=rows[0], scale=rows[1])
    with h5py.File(tmp_path / "stats.h5", "w") as file:
        file["mean"] = rows[0]
    assert load_statistics(tmp_path / "rows.npy").tolist() == rows.tolist()
    assert load_statistics(tmp_path / "columns.npy").tolist() == rows.T.tolist()
    stats = load_statistics(tmp_path / "dict.npy")
    assert stats["mel_mean"].tolist() == [0, 1, 2]
    assert stats["config"] == {"a": 1}
    assert load_statistics(tmp_path / "both.npz")["scale"].tolist() == [3, 4, 5]
    assert load_statistics(tmp_path / "stats.h5")["mean"].tolist() == [0, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce the limit")
def test_decompression_bomb_is_rejected(tmp_path: Path) -> None:
    """A small file that decompresses to gigabytes ends the child, not this process."""
    path = tmp_path / "bomb.npz"
    zeros = np.zeros((40_000, 10_000))  # 3.2 GB; never touched here
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(zeros))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("mean.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        block = bytes(1 << 24)
        for _ in range(zeros.nbytes // len(block)):
            member.write(block)
    assert path.stat().st_size < 50 << 20
    with pytest.raises(ModelError):
        load_statistics(path)


def test_module_next_to_the_file_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch.py in the current folder is not imported."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    for name in ("torch", "json", "numpy", "safetensors"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert load_tensors_only(Path("x.pt"))["a"].tolist() == [0.0]
    assert not (tmp_path / "ran").exists()


def test_reader_has_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that blocks its reader is an error, and the reader ends."""
    os.mkfifo(tmp_path / "slow")
    monkeypatch.setattr(untrusted, "_TIMEOUT_S", 0.5)
    with pytest.raises(ModelError, match="slow"):
        read_untrusted("torch", tmp_path / "slow", "slow", ModelError)


# A reader that kills the child process of its batch, as a bug in a parser may.
CRASHING_READER = """
import os
torch_reader = untrusted_child.READERS["torch"]
def reader(path):
    if "dies" in path.name: os.kill(os.getpid(), 9)
    return torch_reader(path)
untrusted_child.READERS["torch"] = reader
untrusted_child.main()
"""


def test_bad_file_does_not_affect_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names a rejected, missing or crashing file, and all other files are read."""
    names = ("a", "code", "b", "dies", "dies too", "gone", "c")
    for number, name in enumerate(names):
        torch.save({"a": torch.tensor(float(number))}, tmp_path / name)
    torch.save(MaliciousPickle(tmp_path / "ran"), tmp_path / "code")
    (tmp_path / "gone").unlink()
    program = untrusted._COMMAND[2].replace("untrusted_child.main()", CRASHING_READER)
    command = (*untrusted._COMMAND[:2], program, untrusted._COMMAND[3])
    monkeypatch.setattr(untrusted, "_COMMAND", command)
    run = Mock(wraps=subprocess.run)
    monkeypatch.setattr(subprocess, "run", run)
    files = UntrustedFiles("torch", [tmp_path / name for name in names], ModelError)
    facts = {"code": "mkdir", "dies": "", "dies too": "", "gone": ""}
    for name, fact in facts.items():
        with pytest.raises(ModelError, match=f"{name}.*{fact}"):
            files.read(tmp_path / name)
    for number, name in ((0, "a"), (2, "b"), (6, "c")):
        assert files.read(tmp_path / name)["a"] == number
    # Three processes crash: two at "dies", which is read a second time, and one at "dies too".
    assert run.call_count == 4
    assert not (tmp_path / "ran").exists()


def test_batches_are_read_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary folder has one batch at a time, and files can be read in any order."""
    monkeypatch.setattr(untrusted, "_BATCH_FILES", 2)
    paths = [tmp_path / f"{number}.pt" for number in range(3)]
    for number, path in enumerate(paths):
        torch.save(torch.full((1,), float(number)), path)
    files = UntrustedFiles("mel", paths, ModelError, arrays=True)
    assert paths[0] in files
    assert tmp_path not in files
    for number in (0, 1, 2, 0):
        mel = files.read(paths[number])["mel"]
        assert isinstance(mel, np.ndarray)
        assert mel.tolist() == [number]


def test_temporary_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this user can read the child's files, and they are deleted afterwards."""
    modes: dict[Path, int] = {}
    load = untrusted._load

    def record_mode(folder: Path, *arguments: Any, **options: Any) -> Any:
        modes[folder.parent] = folder.parent.stat().st_mode & 0o777
        return load(folder, *arguments, **options)

    monkeypatch.setattr(untrusted, "_load", record_mode)
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    load_tensors_only(tmp_path / "x.pt")
    assert list(modes.values()) == [0o700]
    assert not next(iter(modes)).exists()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_copy_members_by_name(tmp_path: Path, mode: str) -> None:
    """A leading `./` is optional, and paths to other places are not followed."""
    tar = archive(
        tmp_path / "x.nemo",
        {"../../evil": b"no", "/etc/evil": b"no", "./wanted": b"yes", "sub/wanted": b"no"},
        mode,
    )
    assert is_archive(tar)
    target = io.BytesIO()
    assert copy_members(tar, {"wanted": (target, 10)}) == {"wanted"}
    assert target.getvalue() == b"yes"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.nemo"]


def test_member_size_limit(tmp_path: Path) -> None:
    """A member above its limit is an error, and links are ignored."""
    large = archive(tmp_path / "x.tar", {"wanted": bytes(1000)})
    with pytest.raises(ModelError, match=r"wanted.*999"):
        copy_members(large, {"wanted": (io.BytesIO(), 999)})
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        info = tarfile.TarInfo("wanted")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    assert copy_members(tmp_path / "link.tar", {"wanted": (io.BytesIO(), 999)}) == set()


def test_truncated_archive(tmp_path: Path) -> None:
    """A truncated tar is a ModelError or lacks the member, at every length."""
    content = archive(tmp_path / "x.tar", {"wanted": bytes(range(256)) * 8}).read_bytes()
    for length in (1, 300, 600, 1500):
        (tmp_path / "cut.tar").write_bytes(content[:length])
        try:
            assert not copy_members(tmp_path / "cut.tar", {"wanted": (io.BytesIO(), 1 << 20)})
        except ModelError:
            continue


def test_yaml_creates_no_objects() -> None:
    """Application tags are dropped, and Python tags are errors."""
    text = b"a: !new:os.system\n  command: 1\nb: !ref <a>\nc: !apply:os.mkdir [x]\n"
    assert parse_document(text, ".yaml", "x") == {"a": {"command": 1}, "b": "<a>", "c": ["x"]}
    for invalid in (b"!!python/object/apply:os.mkdir [ran]", b"- 1", b"{", b"[" * 100_000):
        with pytest.raises(ModelError):
            parse_document(invalid, ".yaml", "x")


def test_read_document_with_comments_and_size_limit(tmp_path: Path) -> None:
    """Old JSON configurations have comments; a file above the limit is an error."""
    path = tmp_path / "config.json"
    path.write_text('{"a": "http://x", // why\n "b": 1}')
    assert read_document(path) == {"a": "http://x", "b": 1}
    path.write_bytes(b" " * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(ModelError, match=r"config\.json"):
        read_document(path)


def test_torch_errors_are_shortened() -> None:
    """Only the reason remains, without torch's advice."""
    long = "Weights only load failed. WeightsUnpickler error: Unsupported global: X. Please use it"
    assert untrusted_child._reason(long) == "Unsupported global: X"


def test_missing_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing temporary folder is an OutputError (exit code 4) with TMPDIR in the hint."""
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError) as caught:
        load_tensors_only(tmp_path / "a.pt")
    assert "TMPDIR" in (caught.value.hint or "")
