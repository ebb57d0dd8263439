"""Test the selection of validation clips."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.data.preparation.splits import choose_validation, official_ids
from tests.data.corpora import prepare_and_open, write, write_corpus
from tests.helpers import speech


def test_official_ids() -> None:
    """The package contains the validation list of the official code."""
    assert len(official_ids()) == 150
    assert {"LJ050-0269", "LJ001-0028"} <= official_ids()


def test_official_split_leaves_12950_for_training() -> None:
    """All of LJSpeech has 13 100 clips, of which 150 are for validation."""
    stems = {f"LJ{chapter:03}-{clip:04}" for chapter in range(1, 51) for clip in range(1, 300)}
    stems = set(sorted(stems - official_ids())[:12_950]) | official_ids()
    validation_split = choose_validation(stems, None, seed=7, is_ljspeech=True)
    assert validation_split.kind == "official"
    assert validation_split.validation == official_ids()
    assert sum(validation_split.split_of(stem) == "training" for stem in stems) == 12_950


def test_ljspeech_folder_has_official_split(tmp_path: Path) -> None:
    """A part of the corpus with metadata.csv and wavs/ is enough."""
    for name in ("LJ001-0001", "LJ001-0028", "LJ050-0269"):
        write(tmp_path / "in" / "wavs" / f"{name}.wav", speech(0.3))
    names = ("LJ001-0001", "LJ001-0028", "LJ050-0269")
    (tmp_path / "in" / "metadata.csv").write_text("".join(f"{n}|x|x\n" for n in names))
    data = prepare_and_open(tmp_path / "in", tmp_path / "out")
    assert [clip.name for clip in data.validation] == ["LJ001-0028", "LJ050-0269"]
    assert [clip.name for clip in data.training] == ["LJ001-0001"]


def test_split_without_official_ids_is_seeded() -> None:
    """A part of LJSpeech without official validation clips still has validation clips."""
    stems = [f"LJ001-{i:04}" for i in range(100, 140)]
    assert choose_validation(stems, None, seed=0, is_ljspeech=True).kind == "random"
    assert choose_validation(stems, 3, seed=0, is_ljspeech=True).validation <= set(stems)


@given(st.integers(2, 400), st.integers(0, 5))
def test_default_fraction(count: int, seed: int) -> None:
    """The default is about 5 %, at least 1 clip, at most 150, and never all clips."""
    stems = [f"s{i}" for i in range(count)]
    validation_split = choose_validation(stems, None, seed, is_ljspeech=False)
    assert 1 <= len(validation_split.validation) <= min(150, count - 1)
    large_split = choose_validation([f"s{i}" for i in range(6000)], None, seed, is_ljspeech=False)
    assert len(large_split.validation) == 150


@pytest.mark.parametrize("seed", [0, 1234])
def test_added_clips_do_not_move_others(seed: int) -> None:
    """A validation clip does not become a training clip when the corpus grows."""
    stems = [f"speaker/{i}" for i in range(1000)]
    before = choose_validation(stems, 0.1, seed, is_ljspeech=False).validation
    after = choose_validation(
        [*stems, *(f"new/{i}" for i in range(500))], 0.1, seed, is_ljspeech=False
    ).validation
    assert {stem for stem in after if stem.startswith("speaker")} == before
    assert 60 <= len(before) <= 140
    assert choose_validation(stems, 0.1, seed + 1, is_ljspeech=False).validation != before
    assert len(choose_validation(stems, 37, seed, is_ljspeech=False).validation) == 37


def test_single_clip_is_in_both_splits(tmp_path: Path) -> None:
    """Overfitting on one recording still has training and validation clips."""
    data = prepare_and_open(write_corpus(tmp_path / "in", 1), tmp_path / "out")
    assert list(data.training) == list(data.validation)
    assert len(data.training) == 1
