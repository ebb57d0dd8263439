"""kill -9 at random moments: all files stay readable, and finished work is not lost.

Each test kills one command repeatedly; the seed determines the moments. The slow tests have 54
kills in total; the summary of the test run counts them.
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
from tests.data.corpora import digests, write_corpus
from tests.faults.command import Command
from tests.faults.kills import kill_repeatedly
from tests.faults.runs import same_checkpoint, saved_steps, train_args
from tests.forkserver import HIFIGAN, HIFIGAN_SMALL
from tests.helpers import speech

Record = Callable[[str, object], None]


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(s, 8, marks=pytest.mark.slow) for s in (1, 2, 3))]
)
def test_training_killed_at_random(
    cli: Command,
    prepared: Path,
    tmp_path: Path,
    record_property: Record,
    seed: int,
    kills: int,
) -> None:
    """All files are complete, no checkpoint is lost, and the result is bit-identical."""
    recipe: dict[str, int] = {
        "steps": 8 * kills,
        "checkpoint_every": 1,
        "log_every": 3,
        "validate_every": 7,
        "seed": seed,
    }
    out, reference = tmp_path / "run", tmp_path / "reference"
    cli.expect_success(*train_args(prepared, reference, **recipe), program=HIFIGAN_SMALL)
    last_steps: list[int] = [0]

    def has_progress() -> bool:
        saved = saved_steps(out)
        return bool(saved) and saved[-1] > last_steps[-1]

    def check() -> None:
        if not out.exists():
            last_steps.append(0)
            return
        saved = saved_steps(out)
        assert not saved or saved[-1] >= last_steps[-1]
        for path in (out / "checkpoints").glob("step_*.safetensors"):
            read_checkpoint(path)
        for path in (out / "model.safetensors", out / "best.safetensors"):
            if path.exists():
                read_model(path)
        last_steps.append(saved[-1] if saved else 0)

    def is_unfinished() -> bool:
        return saved_steps(out)[-1] < recipe["steps"]

    args = train_args(prepared, out, **recipe)
    kill_repeatedly(
        HIFIGAN_SMALL,
        args,
        out,
        has_progress,
        check,
        is_unfinished,
        kills=kills,
        max_delay_s=0.2,
        seed=seed,
    )
    record_property("kills", f"{kills} train")
    assert same_checkpoint(out, reference, recipe["steps"])
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(s, 7, marks=pytest.mark.slow) for s in (1, 2))]
)
def test_preprocess_killed_at_random(
    cli: Command, tmp_path: Path, record_property: Record, seed: int, kills: int
) -> None:
    """The result has the bytes of an uninterrupted run, with one or two workers."""
    source = write_corpus(tmp_path / "in", 6)
    for index in range(900):
        os.link(source / f"clip{index % 6:03}.wav", source / f"more{index:03}.wav")
    out = tmp_path / "out"
    args = ("preprocess", source, "--workers", str(1 + seed % 2), "--max-file-mb", "1", "-o")
    cli.expect_success(*args, tmp_path / "clean")
    before = time.time()

    def has_progress() -> bool:
        journal = out / "journal.jsonl"
        return journal.exists() and journal.stat().st_mtime > before

    def check() -> None:
        nonlocal before
        before = time.time()

    def is_unfinished() -> bool:
        return not (out / "prepared.json").exists()

    kill_repeatedly(
        HIFIGAN,
        (*args, out),
        out,
        has_progress,
        check,
        is_unfinished,
        kills=kills,
        max_delay_s=0.5,
        seed=seed,
    )
    record_property("kills", f"{kills} preprocess")
    assert digests(out) == digests(tmp_path / "clean")


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 3), *(pytest.param(s, 8, marks=pytest.mark.slow) for s in (1, 2))]
)
def test_resynth_killed_at_random(
    cli: Command, model: Path, tmp_path: Path, record_property: Record, seed: int, kills: int
) -> None:
    """All files are complete, the same command writes the rest, and no temporary file remains."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for index in range(6):
        write_audio(source / f"{index}.wav", speech(3.0 + index, seed=index), 22_050)
    for index in range(6, 150):
        os.link(source / f"{index % 6}.wav", source / f"{index}.wav")
    args = ("resynth", source, "-m", model, "--no-enhance", "-o")
    cli.expect_success(*args, tmp_path / "clean")
    clean = digests(tmp_path / "clean")
    n_files = 0

    def has_progress() -> bool:
        return out.is_dir() and len(list(out.glob("*.wav"))) > n_files

    def check() -> None:
        nonlocal n_files
        if not out.exists():
            n_files = 0
            return
        paths = list(out.glob("*.wav"))
        assert len(paths) >= n_files
        n_files = len(paths)
        for path in paths[:20]:
            read_audio(path)
        written = {name: value for name, value in digests(out).items() if name[0] != "."}
        assert written.items() <= clean.items()

    def is_unfinished() -> bool:
        return len(list(out.glob("*.wav"))) < len(clean)

    kill_repeatedly(
        HIFIGAN,
        (*args, out),
        out,
        has_progress,
        check,
        is_unfinished,
        kills=kills,
        max_delay_s=0.4,
        seed=seed,
    )
    record_property("kills", f"{kills} resynth")
    assert digests(out) == clean
