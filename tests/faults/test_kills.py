"""kill -9 at random moments: nothing unreadable, nothing lost beyond the last checkpoint.

Each chain is one command killed again and again; the seed decides the moments. Together the slow
ones are 54 kills, every one in mid-work; the table at the end counts them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hifigan_cli.audio import read_audio, write_audio
from hifigan_cli.models import read_model
from hifigan_cli.training.checkpoint import read_checkpoint
from tests.data.corpora import corpus, digests
from tests.faults.command import Command
from tests.faults.kills import chain
from tests.faults.runs import same, steps_saved, words
from tests.forkserver import HIFIGAN, SMALL
from tests.helpers import speech

Record = Callable[[str, object], None]


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(s, 8, marks=pytest.mark.slow) for s in (1, 2, 3))]
)
def test_training_is_killed_at_random(
    cli: Command,
    prepared: Path,
    tmp_path: Path,
    record_property: Record,
    seed: int,
    kills: int,
) -> None:
    """Every file under its name is whole, no checkpoint is lost, and the end has the same bits."""
    recipe: dict[str, int] = {
        "steps": 8 * kills,
        "checkpoint_every": 1,
        "log_every": 3,
        "validate_every": 7,
        "seed": seed,
    }
    out, whole = tmp_path / "run", tmp_path / "whole"
    cli.done(*words(prepared, whole, **recipe), program=SMALL)
    seen: list[int] = [0]

    def begun() -> bool:
        saved = steps_saved(out)
        return bool(saved) and saved[-1] > seen[-1]

    def check() -> None:
        if not out.exists():
            seen.append(0)
            return
        saved = steps_saved(out)
        assert not saved or saved[-1] >= seen[-1]
        for path in (out / "checkpoints").glob("step_*.safetensors"):
            read_checkpoint(path)
        for path in (out / "model.safetensors", out / "best.safetensors"):
            if path.exists():
                read_model(path)
        seen.append(saved[-1] if saved else 0)

    def unfinished() -> bool:
        return steps_saved(out)[-1] < recipe["steps"]

    line = words(prepared, out, **recipe)
    chain(SMALL, line, out, begun, check, unfinished, kills=kills, within_s=0.2, seed=seed)
    record_property("kills", f"{kills} train")
    assert same(out, whole, recipe["steps"])
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(s, 7, marks=pytest.mark.slow) for s in (1, 2))]
)
def test_preparation_is_killed_at_random(
    cli: Command, tmp_path: Path, record_property: Record, seed: int, kills: int
) -> None:
    """The bytes at the end are those of a clean run, whatever the number of processes."""
    source = corpus(tmp_path / "in", 6)
    for index in range(900):
        os.link(source / f"clip{index % 6:03}.wav", source / f"more{index:03}.wav")
    out = tmp_path / "out"
    words = ("preprocess", source, "--workers", str(1 + seed % 2), "--shard-mb", "1", "-o")
    cli.done(*words, tmp_path / "clean")
    before = time.time()

    def begun() -> bool:
        journal = out / "journal.jsonl"
        return journal.exists() and journal.stat().st_mtime > before

    def check() -> None:
        nonlocal before
        before = time.time()

    def unfinished() -> bool:
        return not (out / "prepared.json").exists()

    chain(
        HIFIGAN, (*words, out), out, begun, check, unfinished, kills=kills, within_s=0.5, seed=seed
    )
    record_property("kills", f"{kills} preprocess")
    assert digests(out) == digests(tmp_path / "clean")


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 3), *(pytest.param(s, 8, marks=pytest.mark.slow) for s in (1, 2))]
)
def test_a_folder_is_killed_at_random(
    cli: Command, model: Path, tmp_path: Path, record_property: Record, seed: int, kills: int
) -> None:
    """What has its name is whole; the rest is made by the same command; no temporary stays."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for index in range(6):
        write_audio(source / f"{index}.wav", speech(3.0 + index, seed=index), 22_050)
    for index in range(6, 150):
        os.link(source / f"{index % 6}.wav", source / f"{index}.wav")
    words = ("resynth", source, "-m", model, "--no-enhance", "-o")
    cli.done(*words, tmp_path / "clean")
    clean = digests(tmp_path / "clean")
    made = 0

    def begun() -> bool:
        return out.is_dir() and len(list(out.glob("*.wav"))) > made

    def check() -> None:
        nonlocal made
        if not out.exists():
            made = 0
            return
        found = list(out.glob("*.wav"))
        assert len(found) >= made
        made = len(found)
        for path in found[:20]:
            read_audio(path)
        ours = {name: value for name, value in digests(out).items() if not name.startswith(".")}
        assert ours.items() <= clean.items()

    def unfinished() -> bool:
        return len(list(out.glob("*.wav"))) < len(clean)

    chain(
        HIFIGAN, (*words, out), out, begun, check, unfinished, kills=kills, within_s=0.4, seed=seed
    )
    record_property("kills", f"{kills} resynth")
    assert digests(out) == clean
