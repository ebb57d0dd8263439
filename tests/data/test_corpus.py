"""Which files of a folder are its clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.data.preparation.corpus import Corpus, find_corpus
from hifigan_cli.errors import InputError, UsageError
from tests.data.corpora import corpus, prepare, rejected
from tests.helpers import hifigan


def paths(found: Corpus) -> list[str]:
    return [file.path for file in found.files]


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_walk_is_sorted_deep_and_passes_over_the_rest(tmp_path: Path) -> None:
    """The order is that of the paths, not of the disk; hidden and other files are no clips."""
    for name in ("b/z.flac", "b/a.WAV", "a.mp3", "b/notes.txt", ".hidden.wav", ".git/x.wav"):
        touch(tmp_path / name)
    found = find_corpus(tmp_path, tmp_path / "out")
    assert paths(found) == ["a.mp3", "b/a.WAV", "b/z.flac"]
    assert [file.name for file in found.files] == ["a", "b/a", "b/z"]


def test_formats_that_share_a_stem_keep_their_own_names(tmp_path: Path) -> None:
    """Two clips must never have one name, and the same speech must not fall into both splits."""
    for name in ("x.wav", "x.flac", "y.wav"):
        touch(tmp_path / name)
    files = find_corpus(tmp_path, tmp_path / "out").files
    assert [(s.name, s.stem) for s in files] == [("x.flac", "x"), ("x.wav", "x"), ("y", "y")]


def test_links_in_circles_end(tmp_path: Path) -> None:
    """A walk that follows links must end, and take no file twice."""
    touch(tmp_path / "in" / "sub" / "a.wav")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "other").symlink_to(tmp_path / "in" / "sub")
    assert len(paths(find_corpus(tmp_path / "in", tmp_path / "out"))) == 1


def test_output_inside_the_corpus_is_not_eaten(tmp_path: Path) -> None:
    """Audio in the output folder is never taken for part of the corpus."""
    touch(tmp_path / "a.wav")
    touch(tmp_path / "prepared" / "b.wav")
    assert paths(find_corpus(tmp_path, tmp_path / "prepared")) == ["a.wav"]
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="both corpus and output"):
        find_corpus(tmp_path, tmp_path / "link")


def test_ljspeech_layout_takes_what_metadata_names(tmp_path: Path) -> None:
    """Only listed clips are taken; a listed one that is not there is counted."""
    for name in ("LJ001-0001", "LJ001-0002", "unlisted"):
        touch(tmp_path / "wavs" / f"{name}.wav")
    touch(tmp_path / "wavs" / "LJ001-0002.flac")
    (tmp_path / "metadata.csv").write_text(
        "LJ001-0002|two|two\nLJ001-0001|one|one\nLJ009-0009|gone|gone\n../secret|x|x\n",
        encoding="utf-8-sig",
    )
    found = find_corpus(tmp_path, tmp_path / "out")
    assert paths(found) == ["wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav"]
    assert [s.name for s in found.files] == ["LJ001-0001", "LJ001-0002"]
    assert sorted(a.path for a in found.absent) == ["wavs/../secret", "wavs/LJ009-0009"]
    assert {a.reason for a in found.absent} == {"missing"}
    assert found.official


def test_no_audio_says_what_to_do(tmp_path: Path) -> None:
    """An empty folder, a mistyped one, a file and a list without files each have their message."""
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpra.zip").touch()
    with pytest.raises(InputError, match="no audio") as caught:
        find_corpus(tmp_path / "corpora", tmp_path / "out")
    assert ".flac" in str(caught.value.hint)
    with pytest.raises(InputError, match="no folder") as caught:
        find_corpus(tmp_path / "corpra", tmp_path / "out")
    assert "corpora" in str(caught.value.hint)
    assert "zip" not in str(caught.value.hint)
    touch(tmp_path / "corpora" / "metadata.csv")
    (tmp_path / "corpora" / "wavs").mkdir()
    with pytest.raises(InputError, match="none of the 0 files"):
        find_corpus(tmp_path / "corpora", tmp_path / "out")
    with pytest.raises(InputError, match="not a folder"):
        find_corpus(tmp_path / "corpora" / "metadata.csv", tmp_path / "out")


def test_unreadable_folder_is_counted(tmp_path: Path) -> None:
    """A subfolder that cannot be listed must not vanish in silence."""
    corpus(tmp_path / "in", 2)
    locked = tmp_path / "in" / "locked"
    locked.mkdir(mode=0)
    if os.access(locked, os.R_OK):
        pytest.skip("this user may read everything")
    prepare(tmp_path / "in", tmp_path / "out")
    assert rejected(tmp_path / "out") == {"locked": "unreadable"}


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """Spaces, unicode, newlines, a leading dash, %d and invalid UTF-8 are names like any other."""
    folder = tmp_path / "in"
    corpus(folder, 6)
    names = [b"a b.wav", "é火.wav".encode(), b"new\nline.wav", b"-dash.wav", b"%d.wav", b"\xff.wav"]
    for path, name in zip(sorted(folder.iterdir()), names, strict=True):
        path.rename(os.fsdecode(os.fsencode(folder) + b"/" + name))
    run = hifigan("preprocess", folder, "-o", tmp_path / "out", "--workers", "1")
    assert run.returncode == 0, run.stderr
    assert "6 clips" not in run.stderr  # one of them is for validation
    again = hifigan("preprocess", folder, "-o", tmp_path / "out")
    assert "up to date" in again.stderr
