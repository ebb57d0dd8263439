"""Rows 23 to 30: where results go, and mels."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.audio import Audio, write_audio
from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.config import MelConfig
from tests.audio.sounds import encoded, voice
from tests.faults.circumstances import as_user, permissions_hold, small_disk
from tests.faults.command import Command
from tests.forkserver import HIFIGAN
from tests.helpers import environment, speech


def names(folder: Path) -> set[str]:
    """List a folder."""
    return {entry.name for entry in folder.iterdir()}


def test_row_23_output_exists(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit 4 and the bytes as they were, unless --force is given; a link counts as there."""
    out, link = tmp_path / "o.wav", tmp_path / "link.wav"
    out.write_bytes(b"precious")
    link.symlink_to(tmp_path / "nowhere.wav")
    for path in (out, link):
        said = cli.refused(4, "resynth", wav, "-o", path, "-m", model)
        assert "--force overwrites it" in said
    assert out.read_bytes() == b"precious"
    cli.done("resynth", wav, "-o", out, "-m", model, "--force")
    assert out.read_bytes().startswith(b"RIFF")


def test_row_24_input_is_output(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit 2 whatever the path to it: by name, through a link of either kind, as a folder."""
    content = wav.read_bytes()
    soft, hard = tmp_path / "soft.wav", tmp_path / "hard.wav"
    soft.symlink_to(wav)
    os.link(wav, hard)
    for out in (wav, soft, hard):
        cli.refused(2, "resynth", wav, "-o", out, "-m", model, "--force")
    cli.refused(2, "resynth", tmp_path, "-o", tmp_path, "-m", model, "--force")
    assert wav.read_bytes() == content


@pytest.mark.skipif(not permissions_hold(), reason="no right to give up root's rights")
def test_row_24_an_empty_name_is_no_folder(cli: Command, model: Path, tmp_path: Path) -> None:
    """`"$UNSET"` is exit 2, and not the folder at hand with all that is in it."""
    write_audio(tmp_path / "a.wav", speech(0.2), 22_050)
    for line in (("", "-o", "out"), ("a.wav", "-o", "")):
        assert "is empty" in cli.refused(2, "resynth", *line, "-m", model, cwd=tmp_path)
    assert names(tmp_path) == {"a.wav"}


def test_row_25_read_only_folder(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit 4 before any computing: the model is not even loaded."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    for out in (folder / "o.wav", folder / "new" / "o.wav"):
        said = cli.refused(4, "resynth", wav, "-o", out, "-m", model, prepare=as_user)
        assert "cannot be written" in said
        assert " on cpu" not in said
    (tmp_path / "in").mkdir()
    shutil.copy(wav, tmp_path / "in" / "a.wav")
    ended = cli("resynth", tmp_path / "in", "-o", folder, "-m", model, prepare=as_user)
    assert ended.code == 4, ended.err
    assert "cannot be written" in ended.err
    assert names(folder) == set()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_row_26_disk_full(cli: Command, model: Path, tmp_path: Path, suffix: str) -> None:
    """Exit 4, the temporary removed, an old result under that name untouched."""
    source = tmp_path / "long.wav"
    write_audio(source, speech(4.0), 22_050)
    out = tmp_path / f"o{suffix}"
    out.write_bytes(b"old")
    said = cli.refused(
        4, "resynth", source, "-o", out, "-m", model, "--force", prepare=small_disk(2_000)
    )
    assert "cannot write" in said
    assert out.read_bytes() == b"old"
    assert names(tmp_path) == {"long.wav", out.name}


def test_row_27_two_runs_on_one_folder(cli: Command, model: Path, tmp_path: Path) -> None:
    """The second is exit 4 and names the first; a killed first leaves no lock that holds."""
    source, out = tmp_path / "in", tmp_path / "out"
    _many(source)
    words = ("resynth", source, "-o", out, "-m", model)
    first = subprocess.Popen(
        [*HIFIGAN, *words, "--chunk", "16"], env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        _wait_for_results(out, first)
        said = cli.refused(4, *words)
        assert f"in use by pid {first.pid}" in said
        cli.done("resynth", source / "00.wav", "-o", tmp_path / "other.wav", "-m", model)
    finally:
        first.kill()
        first.wait()
    for path in source.iterdir():
        (out / path.name).touch()  # as if they were done
    (out / f".{first.pid}.40.wav.tmp").touch()  # as the killed one may have left it
    assert "41 existed" in cli.done(*words).err
    assert not [name for name in names(out) if name.startswith(".")]


def _many(folder: Path) -> None:
    """Write a short recording and forty of many seconds."""
    folder.mkdir(exist_ok=True)
    write_audio(folder / "00.wav", speech(0.3), 22_050)
    write_audio(folder / "01.wav", speech(20.0), 22_050)
    for index in range(2, 41):
        os.link(folder / "01.wav", folder / f"{index:02}.wav")


def _wait_for_results(out: Path, run: subprocess.Popen[bytes]) -> None:
    while not list(out.glob("*.wav")):
        assert run.poll() is None
        time.sleep(0.01)


def test_row_28_closed_pipe(cli: Command, model: Path, wav: Path) -> None:
    """When the reader has gone, the command ends quietly, whether with sound or with JSON."""
    for words in (("resynth", wav, "-o", "-", "-m", model), ("info", wav, "--json"), ("--help",)):
        with subprocess.Popen(
            [*HIFIGAN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            run.stdout.close()
            errors = run.stderr.read().decode()
        cli.check(run.returncode, errors)
        assert run.returncode == 0
        assert "error" not in errors.lower()


def test_row_29_a_few_bad_among_many(cli: Command, model: Path, tmp_path: Path) -> None:
    """97 results, exit 6, each failure named; the rerun does nothing twice."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    sound = encoded(voice(0.1))
    for index in range(97):
        (source / f"{index:03}.wav").write_bytes(sound)
    bad = {"empty.wav": b"", "html.wav": b"<html>", "cut.wav": sound[: len(sound) // 2]}
    for name, content in bad.items():
        (source / name).write_bytes(content)
    words = ("resynth", source, "-o", out, "-m", model, "--no-enhance", "--json")
    ended = cli(*words)
    assert ended.code == 6
    assert ended.failed == dict.fromkeys(bad, 3)
    assert len(names(out)) == 97
    assert all(name in ended.err for name in bad)
    again = cli(*words)
    assert (again.code, again.told("summary")["existed"]) == (6, 97)


def test_row_30_bad_mels(cli: Command, model: Path, tmp_path: Path) -> None:
    """Axis, bands, type, NaN, objects, other conventions: exit 3, and no pickle is opened."""
    source = tmp_path / "in"
    source.mkdir()
    log = np.full((80, 100), -6, np.float32)
    nan = log.copy()
    nan[3, 7] = np.nan
    natural = audio_to_mel(Audio(voice(1.0), 22_050), MelConfig())
    arrays = {
        "frames-first": np.ascontiguousarray(log.T),
        "bands": log[:64],
        "integers": log.astype(np.int16),
        "complex": log.astype(np.complex64),
        "nan": nan,
        "decibels": natural * np.float32(20 / math.log(10)),
        "empty": log[:, :0],
        "one-axis": log[0],
    }
    for name, array in arrays.items():
        np.save(source / f"{name}.npy", array)
    trap = tmp_path / "ran"
    objects = np.array([Trap(trap)], dtype=object)
    np.save(source / "objects.npy", objects, allow_pickle=True)
    np.savez(source / "archive.npz", mel=objects, allow_pickle=True)
    torch.save({"mel": Trap(trap)}, source / "pickle.pt")
    said = cli.refused(
        3, "vocode", source / "frames-first.npy", "-o", tmp_path / "o.wav", "-m", model
    )
    assert "--transpose" in said
    ended = cli("vocode", source, "-o", tmp_path / "out", "-m", model, "--json")
    assert ended.code == 6, ended.err
    assert ended.failed == {path.name: 3 for path in source.iterdir()}
    assert "band 3, frame 7" in ended.err
    assert not trap.exists()
    cli.done("vocode", source / "frames-first.npy", "-o", tmp_path / "o.wav", "-m", model,
             "--transpose")  # fmt: skip


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_row_39_synthesis_stops_at_a_signal(cli: Command, model: Path, tmp_path: Path) -> None:
    """130 and 143, no half-written file; the files that were done stay."""
    source = tmp_path / "in"
    _many(source)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        out = tmp_path / number.name
        words = ("resynth", source, "-o", out, "-m", model, "--chunk", "16")
        with subprocess.Popen([*HIFIGAN, *words], env=environment(), stderr=-1) as run:
            _wait_for_results(out, run)
            run.send_signal(number)
            errors = run.communicate(timeout=60)[1].decode()
        cli.check(run.returncode, errors)
        assert run.returncode == code
        assert all(not name.startswith(".") for name in names(out))
