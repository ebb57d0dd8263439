"""Outputs are refused before any computing, and replaced as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.errors import HifiganError, OutputError, UsageError
from hifigan_cli.io.files import check_output, make_folder, replacing, sweep, write_bytes


def refusal(path: Path, *, force: bool = False, source: Path | None = None) -> HifiganError:
    """Check an output that must be refused."""
    with pytest.raises(HifiganError) as caught:
        check_output(path, force, source)
    return caught.value


def test_an_existing_output_is_refused_without_force(tmp_path: Path) -> None:
    """Guard row 23, for a dangling link too."""
    path, link = tmp_path / "a.wav", tmp_path / "link.wav"
    path.write_bytes(b"old")
    link.symlink_to(tmp_path / "absent")
    for existing in (path, link):
        error = refusal(existing)
        assert isinstance(error, OutputError)
        assert "--force" in (error.hint or "")
        check_output(existing, force=True)
    assert path.read_bytes() == b"old"


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    """Guard row 24: by name, through a symlink, through a hard link; even with --force."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"speech")
    soft, hard = tmp_path / "soft.wav", tmp_path / "hard.wav"
    soft.symlink_to(path)
    hard.hardlink_to(path)
    for same in (path, soft, hard, tmp_path / "." / "a.wav"):
        assert isinstance(refusal(same, force=True, source=path), UsageError)
    check_output(tmp_path / "b.wav", force=False, source=path)


def test_folders_and_devices_are_no_outputs(tmp_path: Path) -> None:
    """Guard /dev/null and the like: --force must not put a plain file in their place."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for place in (tmp_path, fifo, Path("/dev/null")):
        assert isinstance(refusal(place, force=True), OutputError)


def test_folders_are_made_as_needed(tmp_path: Path) -> None:
    """Guard outputs in new folders, made only when written, and a folder whose name a file has."""
    path = tmp_path / "new" / "deep" / "a.wav"
    check_output(path, force=False)
    assert not (tmp_path / "new").exists()
    write_bytes(path, b"made")
    assert path.read_bytes() == b"made"
    (tmp_path / "file").touch()
    assert isinstance(refusal(tmp_path / "file" / "a.wav"), OutputError)
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_folder(tmp_path / "file" / "deep")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_early(tmp_path: Path) -> None:
    """Guard row 25: before any computing."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert isinstance(refusal(locked / "a.wav"), OutputError)


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    """Guard atomic writing: old bytes until the end, then the new; nothing else left."""
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def stop_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """Guard shared folders: a link under the temporary's name does not lead the writing astray."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs")
    planted = tmp_path / f".{os.getpid()}.a.bin.tmp"
    planted.symlink_to(victim)
    write_bytes(tmp_path / "a.bin", b"ours")
    assert victim.read_bytes() == b"theirs"
    assert (tmp_path / "a.bin").read_bytes() == b"ours"
    assert not os.path.lexists(planted)


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    """Guard the folder of results: strays of the dead go, all else stays."""
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
    sweep([*targets, tmp_path / "absent" / "a.wav"])
    assert {entry.name for entry in tmp_path.iterdir()} == others
