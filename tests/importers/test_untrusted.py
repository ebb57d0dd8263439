"""Files that nobody vouches for are read as data, in a process of their own, or refused."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.importers.loading.archives import copy_members, is_archive
from hifigan_cli.importers.loading.documents import MOST_BYTES, parse_document, read_document
from hifigan_cli.importers.loading.untrusted import load_statistics, load_tensors_only
from hifigan_cli.io.untrusted import child, plain, reader
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
    path, ran = tmp_path / "x.pt", tmp_path / "ran"
    for content in ({"generator": {"x": Bomb(ran)}}, Bomb(ran)):
        torch.save(content, path)
        with pytest.raises(ModelError, match=r"plain tensors.*mkdir") as caught:
            load_tensors_only(path)
        assert "weights_only" not in str(caught.value)  # torch's advice to trust the file
    path.write_bytes(pickle.dumps(Bomb(ran)))
    with pytest.raises(ModelError):
        load_tensors_only(path)
    assert not ran.exists()


def test_tensors_that_cannot_be_weights(tmp_path: Path) -> None:
    """Kinds of tensors that safetensors does not know are refused, with the reason."""
    path = tmp_path / "x.pt"
    torch.save({"a": torch.empty(3, device="meta")}, path)
    with pytest.raises(ModelError, match="not a file of plain tensors"):
        load_tensors_only(path)


def test_code_in_statistics_never_runs(tmp_path: Path) -> None:
    """An array of one object is unpickled as numbers only."""
    path, ran = tmp_path / "stats.npy", tmp_path / "ran"
    np.save(path, np.array({"mel_mean": Bomb(ran)}), allow_pickle=True)
    with pytest.raises(ModelError, match="mkdir"):
        load_statistics(path)
    assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04", bytes(100)])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    """Empty, foreign and cut files are model errors."""
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        load_tensors_only(path)


def test_statistics_of_every_container(tmp_path: Path) -> None:
    """.npy of rows, .npy of a dict, .npz and HDF5 are told by their bytes."""
    h5py = pytest.importorskip("h5py")
    rows = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "dict.npy", np.array({"mel_mean": rows[0], "config": {"a": 1}}))
    np.savez(tmp_path / "both.npz", mean=rows[0], scale=rows[1])
    with h5py.File(tmp_path / "stats.h5", "w") as file:
        file["mean"] = rows[0]
    assert load_statistics(tmp_path / "rows.npy").tolist() == rows.tolist()
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
    monkeypatch.setattr(reader, "_serving", reader._Serving())  # started here
    try:
        assert load_tensors_only(Path("x.pt"))["a"].tolist() == [0.0]
    finally:
        reader._serving.stop()
    assert not (tmp_path / "ran").exists()


def test_what_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that keeps its reader busy is refused, the reader ends, and the next file is read."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    os.mkfifo(tmp_path / "slow")
    monkeypatch.setattr(reader, "_WALL_S", 0.2)
    with pytest.raises(ModelError, match="too long"):
        reader.read_untrusted("torch", tmp_path / "slow", "slow", ModelError)
    monkeypatch.setattr(reader, "_WALL_S", 100)
    assert load_tensors_only(tmp_path / "x.pt")["a"].tolist() == [0.0]


def test_a_reader_that_dies_costs_its_file_only(tmp_path: Path) -> None:
    """A fork that crashes, or all of the reading process killed: an error, and the next is read."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match="failed"):
        reader.read_untrusted("no such kind", tmp_path / "gone", "x", ModelError)
    process = reader._serving._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(ModelError, match="failed"):
        load_tensors_only(tmp_path / "x.pt")
    assert load_tensors_only(tmp_path / "x.pt")["a"].tolist() == [0.0]


def test_nobody_else_may_look_at_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two files of the child lie in a folder of this user alone, and are gone afterwards."""
    seen: list[int] = []
    seen_folders: list[Path] = []

    def look(folder: Path, **how: bool) -> Any:
        seen.append(folder.stat().st_mode & 0o777)
        seen_folders.append(folder)
        return plain.read_plain(folder, **how)

    monkeypatch.setattr(reader, "read_plain", look)
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pt")
    load_tensors_only(tmp_path / "x.pt")
    assert seen == [0o700]
    assert not seen_folders[0].exists()


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
    assert child._reason(long) == "Unsupported global: X"


def test_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or missing /tmp is said to be that, with what names another place: exit 4."""
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="no place for temporary files") as caught:
        load_tensors_only(tmp_path / "a.pt")
    assert "TMPDIR" in (caught.value.hint or "")
