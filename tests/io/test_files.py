"""Test that outputs are checked before any computation, and replaced completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.errors import HifiganError, OutputError, UsageError
from hifigan_cli.io.files import (
    atomic_replace,
    check_output,
    create_folder,
    remove_stale_temporaries,
    write_bytes,
)


def output_error(path: Path, *, force: bool = False, source: Path | None = None) -> HifiganError:
    """Check an invalid output; return its error."""
    with pytest.raises(HifiganError) as caught:
        check_output(path, force, source)
    return caught.value


def test_existing_output_needs_force(tmp_path: Path) -> None:
    """Test row 23, also for a dangling link."""
    path, link = tmp_path / "a.wav", tmp_path / "link.wav"
    path.write_bytes(b"old")
    link.symlink_to(tmp_path / "absent")
    for output in (path, link):
        error = output_error(output)
        assert isinstance(error, OutputError)
        assert "--force" in (error.hint or "")
        check_output(output, force=True)
    assert path.read_bytes() == b"old"


def test_output_must_differ_from_input(tmp_path: Path) -> None:
    """Test row 24: by name, through a symlink, through a hard link; also with --force."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"speech")
    soft, hard = tmp_path / "soft.wav", tmp_path / "hard.wav"
    soft.symlink_to(path)
    hard.hardlink_to(path)
    for same in (path, soft, hard, tmp_path / "." / "a.wav"):
        assert isinstance(output_error(same, force=True, source=path), UsageError)
    check_output(tmp_path / "b.wav", force=False, source=path)


def test_folders_and_devices_are_rejected(tmp_path: Path) -> None:
    """A regular file never replaces /dev/null or another special file, even with --force."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for special_file in (tmp_path, fifo, Path("/dev/null")):
        assert isinstance(output_error(special_file, force=True), OutputError)


def test_folders_are_created_on_writing(tmp_path: Path) -> None:
    """New folders are created only on writing; a file in the place of a folder is an error."""
    path = tmp_path / "new" / "deep" / "a.wav"
    check_output(path, force=False)
    assert not (tmp_path / "new").exists()
    write_bytes(path, b"content")
    assert path.read_bytes() == b"content"
    (tmp_path / "file").touch()
    assert isinstance(output_error(tmp_path / "file" / "a.wav"), OutputError)
    with pytest.raises(OutputError, match=str(tmp_path / "file" / "deep")):
        create_folder(tmp_path / "file" / "deep")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_rejected(tmp_path: Path) -> None:
    """Test row 25: the check fails before any computation."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert isinstance(output_error(locked / "a.wav"), OutputError)


def test_atomic_replace(tmp_path: Path) -> None:
    """The path has the old bytes until the end, then the new; no other file stays."""
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def stop_half_way() -> None:
        with atomic_replace(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_planted_link_is_not_followed(tmp_path: Path) -> None:
    """A link with the name of the temporary file does not redirect the writing."""
    target = tmp_path / "victim"
    target.write_bytes(b"original")
    link = tmp_path / f".{os.getpid()}.a.bin.tmp"
    link.symlink_to(target)
    write_bytes(tmp_path / "a.bin", b"new")
    assert target.read_bytes() == b"original"
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert not os.path.lexists(link)


def test_stale_temporaries_are_removed(tmp_path: Path) -> None:
    """Only the temporary files of ended processes are removed."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    long = "n" * 240 + ".wav"
    stray = {f".{child}.a.wav.tmp", f".{child}.{long[:200]}.tmp", f".{2**40}.new\nline.wav.tmp"}
    others = {f".{os.getpid()}.a.wav.tmp", f".{child}.b.wav.tmp", "a.wav", ".a.wav.tmp"}
    for name in stray | others:
        (tmp_path / name).touch()
    targets = [tmp_path / name for name in ("a.wav", long, "new\nline.wav")]
    remove_stale_temporaries([*targets, tmp_path / "absent" / "a.wav"])
    assert {entry.name for entry in tmp_path.iterdir()} == others
