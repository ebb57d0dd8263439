"""Test that unusable files are rejected with a reason and never stop the run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.data import open_prepared
from hifigan_cli.errors import InputError
from tests.data.corpora import digests, prepare, rejection_reasons, write, write_corpus
from tests.helpers import hifigan, speech


def write_unusable_files(folder: Path) -> dict[str, str]:
    """Write one file of every unusable kind; return the expected reason of each."""
    voice = speech(0.5)
    (folder / "bytes0.wav").touch()
    write(folder / "header.wav", np.zeros(0, np.float32))
    (folder / "page.wav").write_text("<!DOCTYPE html><html></html>" * 20)
    (folder / "random.flac").write_bytes(np.random.default_rng(0).bytes(3000))
    cut = write(folder / "cut.wav", voice)
    cut.write_bytes(cut.read_bytes()[:-4000])
    flac = write(folder / "corrupt.flac", voice)
    content = bytearray(flac.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    flac.write_bytes(content)
    write(folder / "nan.wav", np.where(np.arange(9000) == 7, np.nan, 0.1), subtype="FLOAT")
    write(folder / "short.wav", speech(0.15))
    write(folder / "one.wav", np.full(1, 0.5, np.float32))
    write(folder / "silent.wav", np.zeros(9000, np.float32))
    write(folder / "faint.wav", voice * 0.001, subtype="PCM_24")
    write(folder / "offset.wav", np.full(9000, 0.3, np.float32))
    write(folder / "driven.wav", np.clip(voice * 8, -1, 1))
    write(folder / "cancel.wav", np.stack([voice, -voice], axis=1), subtype="FLOAT")
    write(folder / "huge.wav", np.full(9000, 1e6), subtype="FLOAT")
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "circle.wav").symlink_to("circle.wav")
    os.mkfifo(folder / "fifo.wav")
    reasons = {
        "empty": ("bytes0.wav", "header.wav"),
        "not audio": ("page.wav", "random.flac", "huge.wav"),
        "damaged": ("cut.wav",),
        "unreadable": ("corrupt.flac", "dangling.wav", "circle.wav", "fifo.wav"),
        "not finite": ("nan.wav",),
        "too short": ("short.wav", "one.wav"),
        "silent": ("silent.wav", "faint.wav", "offset.wav", "cancel.wav"),
        "clipped": ("driven.wav",),
    }
    return {name: reason for reason, names in reasons.items() for name in names}


def test_rejected_files_have_reasons(tmp_path: Path) -> None:
    """The good clips are prepared, and each bad one is counted with its reason."""
    folder = write_corpus(tmp_path / "in", 3)
    expected = write_unusable_files(folder)
    summary = prepare(folder, tmp_path / "out")
    assert rejection_reasons(tmp_path / "out") == expected
    assert sum(summary.totals["rejected"].values()) == len(expected)
    assert summary.totals["rejected"]["silent"] == 4
    assert len(open_prepared(tmp_path / "out").training) == 2
    text = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert str(tmp_path) not in text


def test_rejections_do_not_depend_on_workers_or_path(tmp_path: Path) -> None:
    """Another path and another number of processes give the same bytes."""
    write_unusable_files(write_corpus(tmp_path / "one", 7))
    prepare(tmp_path / "one", tmp_path / "out1", workers=1)
    (tmp_path / "one").rename(tmp_path / "two")
    prepare(tmp_path / "two", tmp_path / "out2", workers=2)
    assert digests(tmp_path / "out1") == digests(tmp_path / "out2")


def test_no_usable_clip(tmp_path: Path) -> None:
    """A corpus without a usable clip is an error with the reasons, and has no output."""
    write(tmp_path / "in" / "a.wav", np.zeros(9000, np.float32))
    write(tmp_path / "in" / "b.wav", speech(0.1))
    with pytest.raises(InputError, match="1 silent, 1 too short"):
        prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_min_length(tmp_path: Path) -> None:
    """The minimum length is an option; its lower bound is one window of the mel."""
    for length_s in (0.04, 0.1, 0.6):
        write(tmp_path / "in" / f"{length_s}.wav", speech(length_s))
    prepare(tmp_path / "in", tmp_path / "long", min_length_s=0.5)
    assert set(rejection_reasons(tmp_path / "long")) == {"0.04.wav", "0.1.wav"}
    prepare(tmp_path / "in", tmp_path / "any", min_length_s=0)
    assert set(rejection_reasons(tmp_path / "any")) == {"0.04.wav"}


def test_command_succeeds_with_rejections(tmp_path: Path) -> None:
    """The command succeeds and counts the rejected files."""
    folder = write_corpus(tmp_path / "in", 2)
    soundfile.write(folder / "silent.wav", np.zeros(9000), 22_050)
    run = hifigan("preprocess", folder, "-o", tmp_path / "out", "--workers", "1")
    assert run.returncode == 0
    assert "1 silent" in run.stderr
    assert run.stdout == ""
