"""Training and validation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.data.preparation.splits import divide, official_ids
from tests.data.corpora import corpus, prepared, write
from tests.helpers import speech


def test_official_ids_are_the_150() -> None:
    """The list that the official code validates on, carried in the package."""
    assert len(official_ids()) == 150
    assert {"LJ050-0269", "LJ001-0028"} <= official_ids()


def test_official_split_leaves_12950_for_training() -> None:
    """LJSpeech whole: 13 100 clips, of which 150 are for validation."""
    stems = {f"LJ{chapter:03}-{clip:04}" for chapter in range(1, 51) for clip in range(1, 300)}
    stems = set(sorted(stems - official_ids())[:12_950]) | official_ids()
    division = divide(stems, None, seed=7, official=True)
    assert division.kind == "official"
    assert division.validation == official_ids()
    assert sum(division.split(stem) == "training" for stem in stems) == 12_950


def test_ljspeech_folder_takes_the_official_split(tmp_path: Path) -> None:
    """By metadata.csv and wavs/, and a part of the corpus is enough."""
    for name in ("LJ001-0001", "LJ001-0028", "LJ050-0269"):
        write(tmp_path / "in" / "wavs" / f"{name}.wav", speech(0.3))
    names = ("LJ001-0001", "LJ001-0028", "LJ050-0269")
    (tmp_path / "in" / "metadata.csv").write_text("".join(f"{n}|x|x\n" for n in names))
    data = prepared(tmp_path / "in", tmp_path / "out")
    assert [clip.name for clip in data.validation] == ["LJ001-0028", "LJ050-0269"]
    assert [clip.name for clip in data.training] == ["LJ001-0001"]


def test_without_official_ids_the_split_is_seeded() -> None:
    """A part of LJSpeech that has none of them still needs validation."""
    stems = [f"LJ001-{i:04}" for i in range(100, 140)]
    assert divide(stems, None, seed=0, official=True).kind == "seeded"
    assert divide(stems, 3, seed=0, official=True).validation <= set(stems)


@given(st.integers(2, 400), st.integers(0, 5))
def test_default_share(count: int, seed: int) -> None:
    """About a twentieth, never nothing, never everything, and never more than 150."""
    stems = [f"s{i}" for i in range(count)]
    division = divide(stems, None, seed, official=False)
    assert 1 <= len(division.validation) <= min(150, count - 1)
    large = divide([f"s{i}" for i in range(6000)], None, seed, official=False)
    assert len(large.validation) == 150


@pytest.mark.parametrize("seed", [0, 1234])
def test_added_clips_do_not_move_others(seed: int) -> None:
    """A model judged on a clip must not train on it after the corpus grew."""
    stems = [f"speaker/{i}" for i in range(1000)]
    before = divide(stems, 0.1, seed, official=False).validation
    after = divide(
        [*stems, *(f"new/{i}" for i in range(500))], 0.1, seed, official=False
    ).validation
    assert {stem for stem in after if stem.startswith("speaker")} == before
    assert 60 <= len(before) <= 140
    assert divide(stems, 0.1, seed + 1, official=False).validation != before
    assert len(divide(stems, 37, seed, official=False).validation) == 37


def test_one_clip_serves_for_both(tmp_path: Path) -> None:
    """An overfitting experiment on one recording still trains and validates."""
    data = prepared(corpus(tmp_path / "in", 1), tmp_path / "out")
    assert list(data.training) == list(data.validation)
    assert len(data.training) == 1
