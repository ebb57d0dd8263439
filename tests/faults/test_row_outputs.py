"""Rows 23 to 30 of the fault matrix (`matrix.py`), and 39 for synthesis: outputs and mels."""

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
from tests.audio.sounds import encode, voice
from tests.faults.command import Command
from tests.faults.limits import drop_privileges, limit_file_size, permissions_apply
from tests.forkserver import HIFIGAN
from tests.helpers import environment, speech


def names(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {entry.name for entry in folder.iterdir()}


def test_row_23_output_exists(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit code 4 and an unchanged file, except with --force; a broken link exists too."""
    out, link = tmp_path / "o.wav", tmp_path / "link.wav"
    out.write_bytes(b"precious")
    link.symlink_to(tmp_path / "nowhere.wav")
    for path in (out, link):
        stderr = cli.expect_error(4, "resynth", wav, "-o", path, "-m", model)
        assert "--force" in stderr
    assert out.read_bytes() == b"precious"
    cli.expect_success("resynth", wav, "-o", out, "-m", model, "--force")
    assert out.read_bytes().startswith(b"RIFF")


def test_row_24_input_is_output(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit code 2 for the same path, a link of either kind, or the same folder."""
    content = wav.read_bytes()
    soft, hard = tmp_path / "soft.wav", tmp_path / "hard.wav"
    soft.symlink_to(wav)
    os.link(wav, hard)
    for out in (wav, soft, hard):
        cli.expect_error(2, "resynth", wav, "-o", out, "-m", model, "--force")
    cli.expect_error(2, "resynth", tmp_path, "-o", tmp_path, "-m", model, "--force")
    assert wav.read_bytes() == content


@pytest.mark.skipif(not permissions_apply(), reason="cannot drop privileges")
def test_row_24_empty_name(cli: Command, model: Path, tmp_path: Path) -> None:
    """An empty argument (`"$UNSET"`) fails with exit code 2; it is not the current folder."""
    write_audio(tmp_path / "a.wav", speech(0.2), 22_050)
    for args in (("", "-o", "out"), ("a.wav", "-o", "")):
        assert "empty" in cli.expect_error(2, "resynth", *args, "-m", model, cwd=tmp_path)
    assert names(tmp_path) == {"a.wav"}


def test_row_25_read_only_folder(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit code 4 before the model is loaded."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    for out in (folder / "o.wav", folder / "new" / "o.wav"):
        stderr = cli.expect_error(
            4, "resynth", wav, "-o", out, "-m", model, prepare=drop_privileges
        )
        assert str(folder) in stderr
        assert " on cpu" not in stderr
    (tmp_path / "in").mkdir()
    shutil.copy(wav, tmp_path / "in" / "a.wav")
    result = cli("resynth", tmp_path / "in", "-o", folder, "-m", model, prepare=drop_privileges)
    assert result.exit_code == 4, result.stderr
    assert str(folder) in result.stderr
    assert names(folder) == set()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_row_26_disk_full(cli: Command, model: Path, tmp_path: Path, suffix: str) -> None:
    """Exit code 4; the temporary file is removed, and an old result is unchanged."""
    source = tmp_path / "long.wav"
    write_audio(source, speech(4.0), 22_050)
    out = tmp_path / f"o{suffix}"
    out.write_bytes(b"old")
    stderr = cli.expect_error(
        4, "resynth", source, "-o", out, "-m", model, "--force", prepare=limit_file_size(2_000)
    )
    assert out.name in stderr
    assert out.read_bytes() == b"old"
    assert names(tmp_path) == {"long.wav", out.name}


def test_row_27_two_runs_on_one_folder(cli: Command, model: Path, tmp_path: Path) -> None:
    """The second run fails with exit code 4 and the first pid; a killed run leaves no lock."""
    source, out = tmp_path / "in", tmp_path / "out"
    _write_recordings(source)
    args = ("resynth", source, "-o", out, "-m", model)
    first = subprocess.Popen(
        [*HIFIGAN, *args, "--chunk", "16"], env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        _wait_for_results(out, first)
        stderr = cli.expect_error(4, *args)
        assert f"pid {first.pid}" in stderr
        cli.expect_success("resynth", source / "00.wav", "-o", tmp_path / "other.wav", "-m", model)
    finally:
        first.kill()
        first.wait()
    for path in source.iterdir():
        (out / path.name).touch()  # as finished results
    (out / f".{first.pid}.40.wav.tmp").touch()  # as a killed run may leave it
    assert "41 skipped" in cli.expect_success(*args).stderr
    assert not [name for name in names(out) if name.startswith(".")]


def _write_recordings(folder: Path) -> None:
    """Write a short recording and forty long ones."""
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
    """If the reader closes the pipe, the command ends without an error, for audio and JSON."""
    for args in (("resynth", wav, "-o", "-", "-m", model), ("info", wav, "--json"), ("--help",)):
        with subprocess.Popen(
            [*HIFIGAN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            run.stdout.close()
            errors = run.stderr.read().decode()
        cli.check(run.returncode, errors)
        assert run.returncode == 0
        assert "error" not in errors.lower()


def test_row_29_three_bad_of_100(cli: Command, model: Path, tmp_path: Path) -> None:
    """97 results, exit code 6 with the failed files; a rerun skips the results."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    sound = encode(voice(0.1))
    for index in range(97):
        (source / f"{index:03}.wav").write_bytes(sound)
    bad = {"empty.wav": b"", "html.wav": b"<html>", "cut.wav": sound[: len(sound) // 2]}
    for name, content in bad.items():
        (source / name).write_bytes(content)
    args = ("resynth", source, "-o", out, "-m", model, "--no-enhance", "--json")
    result = cli(*args)
    assert result.exit_code == 6
    assert result.failed == dict.fromkeys(bad, 3)
    assert len(names(out)) == 97
    assert all(name in result.stderr for name in bad)
    rerun = cli(*args)
    assert (rerun.exit_code, rerun.last_event("summary")["skipped"]) == (6, 97)


def test_row_30_bad_mels(cli: Command, model: Path, tmp_path: Path) -> None:
    """Wrong axes, bands, type or scale, NaN, objects: exit code 3, and nothing is unpickled."""
    source = tmp_path / "in"
    source.mkdir()
    valid = np.full((80, 100), -6, np.float32)
    nan = valid.copy()
    nan[3, 7] = np.nan
    natural = audio_to_mel(Audio(voice(1.0), 22_050), MelConfig())
    arrays = {
        "frames-first": np.ascontiguousarray(valid.T),
        "bands": valid[:64],
        "integers": valid.astype(np.int16),
        "complex": valid.astype(np.complex64),
        "nan": nan,
        "decibels": natural * np.float32(20 / math.log(10)),
        "empty": valid[:, :0],
        "one-axis": valid[0],
    }
    for name, array in arrays.items():
        np.save(source / f"{name}.npy", array)
    trap = tmp_path / "ran"
    objects = np.array([PickleTrap(trap)], dtype=object)
    np.save(source / "objects.npy", objects, allow_pickle=True)
    np.savez(source / "archive.npz", mel=objects, allow_pickle=True)
    torch.save({"mel": PickleTrap(trap)}, source / "pickle.pt")
    stderr = cli.expect_error(
        3, "vocode", source / "frames-first.npy", "-o", tmp_path / "o.wav", "-m", model
    )
    assert "--transpose" in stderr
    result = cli("vocode", source, "-o", tmp_path / "out", "-m", model, "--json")
    assert result.exit_code == 6, result.stderr
    assert result.failed == {path.name: 3 for path in source.iterdir()}
    assert "band 3, frame 7" in result.stderr
    assert not trap.exists()
    cli.expect_success("vocode", source / "frames-first.npy", "-o", tmp_path / "o.wav", "-m", model,
             "--transpose")  # fmt: skip


class PickleTrap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_row_39_synthesis_stops_at_a_signal(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit codes 130 and 143, without partial files; finished files remain."""
    source = tmp_path / "in"
    _write_recordings(source)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        out = tmp_path / number.name
        args = ("resynth", source, "-o", out, "-m", model, "--chunk", "16")
        with subprocess.Popen([*HIFIGAN, *args], env=environment(), stderr=-1) as run:
            _wait_for_results(out, run)
            run.send_signal(number)
            errors = run.communicate(timeout=60)[1].decode()
        cli.check(run.returncode, errors)
        assert run.returncode == code
        assert all(not name.startswith(".") for name in names(out))
