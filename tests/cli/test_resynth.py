"""`hifigan resynth` end to end: lengths, channels, sample rates, folders, pipes and errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio import read_audio
from tests.helpers import hifigan, hifigan_bytes


def test_file_to_file(wav: Path, model: Path, tmp_path: Path) -> None:
    """The output has the length of the input, and stdout stays empty."""
    out = tmp_path / "out.wav"
    run = hifigan("resynth", wav, "-o", out, "--model", model, "--device", "cpu")
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    info = soundfile.info(out)
    assert (info.frames, info.samplerate, info.channels) == (28_665, 22_050, 1)
    assert np.abs(read_audio(out).samples).max() > 0.01


def test_stereo_keeps_channels_and_rate(stereo: Path, model: Path, tmp_path: Path) -> None:
    """With --keep-sample-rate, the output has the length, channels and rate of the input."""
    run = hifigan(
        "resynthesize", stereo, "-o", tmp_path / "o.flac", "-m", model, "--keep-sample-rate"
    )
    assert run.returncode == 0, run.stderr
    info = soundfile.info(tmp_path / "o.flac")
    assert (info.frames, info.samplerate, info.channels) == (33_600, 48_000, 2)
    left, right = read_audio(tmp_path / "o.flac").samples
    assert np.abs(left - right).max() > 0.01
    run = hifigan("resynth", stereo, "-o", tmp_path / "m.wav", "-m", model, "--mono")
    info = soundfile.info(tmp_path / "m.wav")  # the header has the model's sample rate
    assert (info.frames, info.samplerate, info.channels) == (15_435, 22_050, 1)


def test_chunk_size_does_not_matter(stereo: Path, model: Path, tmp_path: Path) -> None:
    """Small chunks give the same samples as one chunk within a 16-bit step."""
    for chunk in ("7", "0"):
        out = tmp_path / f"{chunk}.wav"
        assert hifigan("resynth", stereo, "-o", out, "-m", model, "--chunk", chunk).returncode == 0
    chunked, expected = (read_audio(tmp_path / f"{c}.wav").samples for c in ("7", "0"))
    assert np.abs(chunked - expected).max() <= 1.01 / 32_767


def test_pipes(wav: Path, model: Path) -> None:
    """`-` reads audio from stdin and writes only audio to stdout."""
    run = hifigan_bytes("resynth", "-", "-o", "-", "-m", model, stdin=wav.read_bytes())
    assert run.returncode == 0, run.stderr
    assert read_audio(run.stdout).samples.shape == (1, 28_665)


def test_folder(model: Path, wav: Path, stereo: Path, tmp_path: Path) -> None:
    """A bad file is named with exit code 6, the others are written, and a second run skips them."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    wav.rename(folder / "a.wav")
    stereo.rename(folder / "sub" / "b.flac")
    (folder / "bad.wav").write_text("<!DOCTYPE html>")
    out = tmp_path / "out"
    run = hifigan("resynth", folder, "-o", out, "-m", model, "--json")
    assert run.returncode == 6, run.stderr
    outputs = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert outputs == ["a.wav", "sub/b.wav"]
    assert "bad.wav" in run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert all(line["schema"] == 1 for line in lines)
    assert [line["event"] for line in lines] == ["synthesized", "synthesized", "summary", "error"]
    assert lines[2]["written"] == 2
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.wav")}
    (folder / "bad.wav").unlink()
    run = hifigan("resynth", folder, "-o", out, "-m", model)
    assert run.returncode == 0
    assert "2 skipped" in run.stderr
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*.wav")}


def test_dry_run_writes_nothing(wav: Path, model: Path, tmp_path: Path) -> None:
    """The plan has the files and the estimated time, and no file is written."""
    before = sorted(tmp_path.iterdir())
    run = hifigan(
        "resynth", wav, "-o", tmp_path / "new" / "o.wav", "-m", model, "--dry-run", "--json"
    )
    assert run.returncode == 0, run.stderr
    (plan,) = (json.loads(line) for line in run.stdout.splitlines())
    assert plan["length_s"] == pytest.approx(1.3, abs=0.01)
    assert plan["estimated_s"] > 0
    assert len(plan["to_synthesize"]) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_dry_run_without_work_loads_no_model(wav: Path, model: Path, tmp_path: Path) -> None:
    """If all outputs exist, no model is loaded for an estimate."""
    command = ("resynth", wav.parent, "-o", tmp_path / "out", "-m", model, "--no-enhance")
    assert hifigan(*command).returncode == 0
    run = hifigan(*command, "--dry-run")
    assert run.returncode == 0, run.stderr
    assert {"0 files", "1 exist"} <= set(re.findall(r"\d+ \w+", run.stdout + run.stderr))
    assert "engine" not in run.stderr


def test_invalid_models(wav: Path, model: Path, tmp_path: Path) -> None:
    """A missing, truncated or damaged model file, or another file, fails with exit code 5."""
    content = bytearray(model.read_bytes())
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 4
    for name, data in {"cut": content[:5000], "flip": flipped, "other": b"x"}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(bytes(data))
        run = hifigan("resynth", wav, "-o", tmp_path / "o.wav", "-m", path)
        assert run.returncode == 5, name
    assert hifigan("resynth", wav, "-o", tmp_path / "o.wav", "-m", "nothing").returncode == 5
    assert not (tmp_path / "o.wav").exists()


def test_unknown_extension(wav: Path, model: Path, tmp_path: Path) -> None:
    """An unsupported output format is an error before any computation."""
    run = hifigan("resynth", wav, "-o", tmp_path / "o.wma", "-m", model)
    assert run.returncode == 2
    assert ".wav" in run.stderr
