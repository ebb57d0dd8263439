"""Test which files of a folder are its clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.data.preparation.corpus import Corpus, find_corpus
from hifigan_cli.errors import InputError, UsageError
from tests.data.corpora import prepare, rejection_reasons, write_corpus
from tests.helpers import hifigan


def paths(listed: Corpus) -> list[str]:
    return [file.path for file in listed.files]


def create_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_search_is_sorted_and_recursive(tmp_path: Path) -> None:
    """Clips are sorted by path; hidden files and other files are not clips."""
    for name in ("b/z.flac", "b/a.WAV", "a.mp3", "b/notes.txt", ".hidden.wav", ".git/x.wav"):
        create_file(tmp_path / name)
    listed = find_corpus(tmp_path, tmp_path / "out")
    assert paths(listed) == ["a.mp3", "b/a.WAV", "b/z.flac"]
    assert [file.name for file in listed.files] == ["a", "b/a", "b/z"]


def test_formats_with_same_stem_have_different_names(tmp_path: Path) -> None:
    """Clip names are unique, and the same speech is never in both splits."""
    for name in ("x.wav", "x.flac", "y.wav"):
        create_file(tmp_path / name)
    files = find_corpus(tmp_path, tmp_path / "out").files
    assert [(s.name, s.stem) for s in files] == [("x.flac", "x"), ("x.wav", "x"), ("y", "y")]


def test_cyclic_links(tmp_path: Path) -> None:
    """A search that follows links ends, and lists each file once."""
    create_file(tmp_path / "in" / "sub" / "a.wav")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "other").symlink_to(tmp_path / "in" / "sub")
    assert len(paths(find_corpus(tmp_path / "in", tmp_path / "out"))) == 1


def test_output_inside_corpus_is_skipped(tmp_path: Path) -> None:
    """Audio in the output folder is not part of the corpus."""
    create_file(tmp_path / "a.wav")
    create_file(tmp_path / "prepared" / "b.wav")
    assert paths(find_corpus(tmp_path, tmp_path / "prepared")) == ["a.wav"]
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="corpus and output"):
        find_corpus(tmp_path, tmp_path / "link")


def test_ljspeech_layout_uses_metadata(tmp_path: Path) -> None:
    """Only listed clips are used; listed files that do not exist are counted."""
    for name in ("LJ001-0001", "LJ001-0002", "unlisted"):
        create_file(tmp_path / "wavs" / f"{name}.wav")
    create_file(tmp_path / "wavs" / "LJ001-0002.flac")
    (tmp_path / "metadata.csv").write_text(
        "LJ001-0002|two|two\nLJ001-0001|one|one\nLJ009-0009|gone|gone\n../secret|x|x\n",
        encoding="utf-8-sig",
    )
    listed = find_corpus(tmp_path, tmp_path / "out")
    assert paths(listed) == ["wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav"]
    assert [s.name for s in listed.files] == ["LJ001-0001", "LJ001-0002"]
    assert sorted(a.path for a in listed.missing) == ["wavs/../secret", "wavs/LJ009-0009"]
    assert {a.reason for a in listed.missing} == {"missing"}
    assert listed.is_ljspeech


def test_no_audio(tmp_path: Path) -> None:
    """An empty folder, a mistyped one, a file, and a list without files are errors."""
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpra.zip").touch()
    with pytest.raises(InputError, match="corpora") as caught:
        find_corpus(tmp_path / "corpora", tmp_path / "out")
    assert ".flac" in str(caught.value.hint)
    with pytest.raises(InputError, match="corpra") as caught:
        find_corpus(tmp_path / "corpra", tmp_path / "out")
    assert "corpora" in str(caught.value.hint)
    assert "zip" not in str(caught.value.hint)
    create_file(tmp_path / "corpora" / "metadata.csv")
    (tmp_path / "corpora" / "wavs").mkdir()
    with pytest.raises(InputError, match=r"metadata\.csv"):
        find_corpus(tmp_path / "corpora", tmp_path / "out")
    with pytest.raises(InputError, match=r"metadata\.csv"):
        find_corpus(tmp_path / "corpora" / "metadata.csv", tmp_path / "out")


def test_unreadable_folder_is_counted(tmp_path: Path) -> None:
    """A subfolder that cannot be listed is reported."""
    write_corpus(tmp_path / "in", 2)
    locked = tmp_path / "in" / "locked"
    locked.mkdir(mode=0)
    if os.access(locked, os.R_OK):
        pytest.skip("this user may read everything")
    prepare(tmp_path / "in", tmp_path / "out")
    assert rejection_reasons(tmp_path / "out") == {"locked": "unreadable"}


def test_unusual_names(tmp_path: Path) -> None:
    """Spaces, Unicode, newlines, a leading dash, %d and invalid UTF-8 are valid names."""
    folder = tmp_path / "in"
    write_corpus(folder, 6)
    names = [b"a b.wav", "é火.wav".encode(), b"new\nline.wav", b"-dash.wav", b"%d.wav", b"\xff.wav"]
    for path, name in zip(sorted(folder.iterdir()), names, strict=True):
        path.rename(os.fsdecode(os.fsencode(folder) + b"/" + name))
    run = hifigan("preprocess", folder, "-o", tmp_path / "out", "--workers", "1")
    assert run.returncode == 0, run.stderr
    assert "6 clips" not in run.stderr  # one of them is for validation
    again = hifigan("preprocess", folder, "-o", tmp_path / "out")
    assert "up to date" in again.stderr
