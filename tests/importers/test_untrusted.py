"""Files that nobody vouches for are read as data, in a process of their own, or refused."""

from __future__ import annotations

import io
import os
import pickle
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
    MOST_BYTES,
    copy_members,
    is_archive,
    load_statistics,
    load_tensors_only,
    parse_document,
    read_document,
)
from hifigan_cli.io import untrusted, untrusted_child
from hifigan_cli.io.untrusted import UntrustedFiles, read_untrusted
from tests.importers.foreign.recipes import archive


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_tensors_and_plain_values_arrive(tmp_path: Path) -> None:
    """Every type of tensor, numpy's numbers, and containers come through the child process."""
    path = tmp_path / "x.pt"
    content = {
        "state": {"a": torch.randn(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)},
        "numbers": (1, 2.5, None, True, "text", np.float32(0.5), np.int64(7)),
        "array": np.arange(3.0),
        "optimizer": {"state": torch.zeros(1000)},
    }
    torch.save(content, path)
    found = load_tensors_only(path)
    assert torch.equal(found["state"]["a"], content["state"]["a"])  # type: ignore[index]
    assert found["state"]["half"].dtype == torch.bfloat16
    assert found["numbers"] == [1, 2.5, None, True, "text", 0.5, 7]
    assert found["array"].tolist() == [0.0, 1.0, 2.0]
    assert "optimizer" not in found


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    """Fault 33: a pickle with code is refused, says what it wanted, and none of it is executed."""
    ran = tmp_path / "ran"
    paths = [tmp_path / name for name in ("within.pt", "bare.pt", "old.pt")]
    torch.save({"generator": {"x": Bomb(ran)}}, paths[0])
    torch.save(Bomb(ran), paths[1])
    paths[2].write_bytes(pickle.dumps(Bomb(ran)))
    files = UntrustedFiles("torch", paths, ModelError)
    for path in paths:
        with pytest.raises(ModelError, match=r"plain tensors") as caught:
            files.read(path)
        assert "weights_only" not in str(caught.value)  # torch's advice to trust the file
        assert "mkdir" in str(caught.value) or path.name == "old.pt"
    assert not ran.exists()


def test_tensors_that_cannot_be_weights(tmp_path: Path) -> None:
    """Kinds of tensors that safetensors does not know, empty, foreign and cut files are refused."""
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
        with pytest.raises(ModelError, match="not a file of plain tensors"):
            files.read(path)
    with pytest.raises(ModelError, match="empty"):
        load_tensors_only(tmp_path / "empty")


def test_code_in_statistics_never_runs(tmp_path: Path) -> None:
    """An array of one object is unpickled as numbers only."""
    path, ran = tmp_path / "stats.npy", tmp_path / "ran"
    np.save(path, np.array({"mel_mean": Bomb(ran)}), allow_pickle=True)
    with pytest.raises(ModelError, match="mkdir"):
        load_statistics(path)
    assert not ran.exists()


def test_statistics_of_every_container(tmp_path: Path) -> None:
    """.npy of rows, .npy of a dict, .npz and HDF5 are told by their bytes."""
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
    found = load_statistics(tmp_path / "dict.npy")
    assert found["mel_mean"].tolist() == [0, 1, 2]
    assert found["config"] == {"a": 1}
    assert load_statistics(tmp_path / "both.npz")["scale"].tolist() == [3, 4, 5]
    assert load_statistics(tmp_path / "stats.h5")["mean"].tolist() == [0, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to the limit")
def test_a_file_that_wants_more_memory_than_it_has_bytes(tmp_path: Path) -> None:
    """A few bytes that unpack to gigabytes end the child, not this process."""
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


def test_a_module_beside_the_file_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint's folder may hold a torch.py: that the user stands in it gives it no say."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    for name in ("torch", "json", "numpy", "safetensors"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert load_tensors_only(Path("x.pt"))["a"].tolist() == [0.0]
    assert not (tmp_path / "ran").exists()


def test_what_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that keeps its reader busy is refused, and the reader ends."""
    os.mkfifo(tmp_path / "slow")
    monkeypatch.setattr(untrusted, "_WALL_S", 0.5)
    with pytest.raises(ModelError, match="too long"):
        read_untrusted("torch", tmp_path / "slow", "slow", ModelError)


# Ends the process of its batch, as a flaw of a parser may: what a reader of the child is in a test.
CRASH = """
import os
torch_reader = untrusted_child.READERS["torch"]
def reader(path):
    if "dies" in path.name: os.kill(os.getpid(), 9)
    return torch_reader(path)
untrusted_child.READERS["torch"] = reader
untrusted_child.main()
"""


def test_a_bad_file_costs_no_other_of_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, missing, or the end of the process: the file is named, all others are read."""
    names = ("a", "code", "b", "dies", "dies too", "gone", "c")
    for number, name in enumerate(names):
        torch.save({"a": torch.tensor(float(number))}, tmp_path / name)
    torch.save(Bomb(tmp_path / "ran"), tmp_path / "code")
    (tmp_path / "gone").unlink()
    program = untrusted._COMMAND[2].replace("untrusted_child.main()", CRASH)
    command = (*untrusted._COMMAND[:2], program, untrusted._COMMAND[3])
    monkeypatch.setattr(untrusted, "_COMMAND", command)
    run = Mock(wraps=subprocess.run)
    monkeypatch.setattr(subprocess, "run", run)
    files = UntrustedFiles("torch", [tmp_path / name for name in names], ModelError)
    reasons = {"code": "mkdir", "dies": "failed", "dies too": "failed", "gone": ""}
    for name, reason in reasons.items():
        with pytest.raises(ModelError, match=f"{name}.*{reason}"):
            files.read(tmp_path / name)
    for number, name in ((0, "a"), (2, "b"), (6, "c")):
        assert files.read(tmp_path / name)["a"] == number
    assert run.call_count == 4  # all; from each that dies at its head; the rest
    assert not (tmp_path / "ran").exists()


def test_batches_are_read_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one batch lies in the temporary folder at a time; any order works."""
    monkeypatch.setattr(untrusted, "_BATCH_FILES", 2)
    paths = [tmp_path / f"{number}.pt" for number in range(3)]
    for number, path in enumerate(paths):
        torch.save(torch.full((1,), float(number)), path)
    files = UntrustedFiles("mel", paths, ModelError, arrays=True)
    assert paths[0] in files
    assert tmp_path not in files
    for number in (0, 1, 2, 0):
        read = files.read(paths[number])["mel"]
        assert isinstance(read, np.ndarray)
        assert read.tolist() == [number]


def test_nobody_else_may_look_at_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the child lie in a folder of this user alone, and are gone afterwards."""
    seen: dict[Path, int] = {}
    load = untrusted._load

    def look(folder: Path, *words: Any, **how: Any) -> Any:
        seen[folder.parent] = folder.parent.stat().st_mode & 0o777
        return load(folder, *words, **how)

    monkeypatch.setattr(untrusted, "_load", look)
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    load_tensors_only(tmp_path / "x.pt")
    assert list(seen.values()) == [0o700]
    assert not next(iter(seen)).exists()


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_are_found_by_name(tmp_path: Path, mode: str) -> None:
    """Names count, with or without ./; paths elsewhere are not followed."""
    found = archive(
        tmp_path / "x.nemo",
        {"../../evil": b"no", "/etc/evil": b"no", "./wanted": b"yes", "sub/wanted": b"no"},
        mode,
    )
    assert is_archive(found)
    target = io.BytesIO()
    assert copy_members(found, {"wanted": (target, 10)}) == {"wanted"}
    assert target.getvalue() == b"yes"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.nemo"]


def test_members_are_measured(tmp_path: Path) -> None:
    """A member above its limit is refused, whatever its header says; links are no files."""
    found = archive(tmp_path / "x.tar", {"wanted": bytes(1000)})
    with pytest.raises(ModelError, match="larger than 999"):
        copy_members(found, {"wanted": (io.BytesIO(), 999)})
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        info = tarfile.TarInfo("wanted")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    assert copy_members(tmp_path / "link.tar", {"wanted": (io.BytesIO(), 999)}) == set()


def test_archives_that_are_cut(tmp_path: Path) -> None:
    """A tar that ends early is a model error, at every length."""
    whole = archive(tmp_path / "x.tar", {"wanted": bytes(range(256)) * 8}).read_bytes()
    for length in (1, 300, 600, 1500):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        try:
            assert not copy_members(tmp_path / "cut.tar", {"wanted": (io.BytesIO(), 1 << 20)})
        except ModelError:
            continue


def test_yaml_makes_no_objects() -> None:
    """Tags of any kind are values; Python's own are refused."""
    text = b"a: !new:os.system\n  command: 1\nb: !ref <a>\nc: !apply:os.mkdir [x]\n"
    assert parse_document(text, ".yaml", "x") == {"a": {"command": 1}, "b": "<a>", "c": ["x"]}
    for evil in (b"!!python/object/apply:os.mkdir [ran]", b"- 1", b"{", b"[" * 100_000):
        with pytest.raises(ModelError):
            parse_document(evil, ".yaml", "x")


def test_documents_are_bounded_and_may_have_comments(tmp_path: Path) -> None:
    """Old JSON configurations have comments; a large file is none."""
    path = tmp_path / "config.json"
    path.write_text('{"a": "http://x", // why\n "b": 1}')
    assert read_document(path) == {"a": "http://x", "b": 1}
    path.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(ModelError, match="too large"):
        read_document(path)


def test_reasons_are_short() -> None:
    """What torch says is cut to what was found, without its advice."""
    long = "Weights only load failed. WeightsUnpickler error: Unsupported global: X. Please use it"
    assert untrusted_child._reason(long) == "Unsupported global: X"


def test_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or missing /tmp is said to be that, with what names another place: exit 4."""
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="no place for temporary files") as caught:
        load_tensors_only(tmp_path / "a.pt")
    assert "TMPDIR" in (caught.value.hint or "")
