"""`hifigan mel`, `vocode` and `info` end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from hifigan_cli.audio import read_audio
from tests.helpers import hifigan, hifigan_bytes


def test_mel_then_vocode(wav: Path, model: Path, tmp_path: Path) -> None:
    """The mel has floor(samples / hop_length) frames, the speech frames * hop_length samples."""
    run = hifigan("mel", wav, "-o", tmp_path / "mel.npy")
    assert run.returncode == 0, run.stderr
    mel = np.load(tmp_path / "mel.npy", allow_pickle=False)
    assert (mel.shape, mel.dtype) == ((80, 28_665 // 256), np.float32)
    run = hifigan("vocode", tmp_path / "mel.npy", "-o", tmp_path / "out.wav", "-m", model)
    assert run.returncode == 0, run.stderr
    assert soundfile.info(tmp_path / "out.wav").frames == 28_665 // 256 * 256


def test_vocode_equals_resynth(wav: Path, model: Path, tmp_path: Path) -> None:
    """`mel` and `vocode` give the samples of `resynth` within a 16-bit step, except at the end."""
    hifigan("mel", wav, "-o", tmp_path / "mel.npy")
    hifigan("vocode", tmp_path / "mel.npy", "-o", tmp_path / "a.wav", "-m", model)
    hifigan("resynth", wav, "-o", tmp_path / "b.wav", "-m", model, "--no-enhance")
    inside = slice(0, 22_050)
    a, b = (read_audio(tmp_path / f"{n}.wav").samples[0, inside] for n in "ab")
    assert np.abs(a - b).max() <= 1.01 / 32_767
    assert np.abs(a).max() > 0.01


def test_vocode_inputs(model: Path, tmp_path: Path) -> None:
    """`vocode` accepts several files, a folder and pipes."""
    folder = tmp_path / "mels"
    folder.mkdir()
    for frames in (1, 20):
        np.save(folder / f"{frames}.npy", np.full((80, frames), -6, np.float32))
    files = sorted(folder.iterdir())
    run = hifigan("vocode", *files, "-o", tmp_path / "one", "-m", model, "--json")
    assert run.returncode == 0, run.stderr
    run = hifigan("vocode", folder, "-o", tmp_path / "two", "-m", model)
    assert run.returncode == 0, run.stderr
    for frames in (1, 20):
        for out in ("one", "two"):
            assert soundfile.info(tmp_path / out / f"{frames}.wav").frames == frames * 256
    piped = hifigan_bytes("vocode", "-", "-o", "-", "-m", model, stdin=files[1].read_bytes())
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == (tmp_path / "one" / f"{files[1].stem}.wav").read_bytes()


def test_mels_of_other_conventions(wav: Path, model: Path, tmp_path: Path) -> None:
    """A mel in decibels is an error; with --mel-as, also transposed, it gives the same speech."""
    hifigan("mel", wav, "-o", tmp_path / "mel.npy", "--like", model)
    mel_db = 20 / np.log(10) * np.load(tmp_path / "mel.npy")
    np.save(tmp_path / "db.npy", mel_db)
    np.save(tmp_path / "transposed.npy", mel_db.T)
    hifigan("vocode", tmp_path / "mel.npy", "-o", tmp_path / "a.wav", "-m", model)
    expected = read_audio(tmp_path / "a.wav").samples
    out = ("-o", tmp_path / "b.wav", "-m", model, "--force")
    run = hifigan("vocode", tmp_path / "db.npy", *out)
    assert run.returncode == 3
    assert "--mel-as db" in run.stderr
    for name, scale in (("db", "db"), ("db", "auto"), ("transposed", "auto")):
        run = hifigan("vocode", tmp_path / f"{name}.npy", *out, "--mel-as", scale)
        assert run.returncode == 0, run.stderr
        assert "decibels" in run.stderr
        output = read_audio(tmp_path / "b.wav").samples
        np.testing.assert_allclose(output, expected, atol=2.1 / 32_767)
    assert hifigan("vocode", tmp_path / "db.npy", *out, "--mel-as", "dcb").returncode == 2
    facts = json.loads(hifigan("info", tmp_path / "transposed.npy", "--json").stdout)["facts"]
    assert (facts["axes"], facts["mel_as"], facts["certain"]) == ("(frames, n_mels)", "db", True)


def test_mel_shards(wav: Path, tmp_path: Path) -> None:
    """Two shards write all files; a pipe cannot be sharded."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        (folder / f"{index}.wav").write_bytes(wav.read_bytes())
    for shard, count in (("1/2", 2), ("2/2", 3)):
        run = hifigan("mel", folder, "-o", tmp_path / "out", "--shard", shard)
        assert run.returncode == 0, run.stderr
        assert len(list((tmp_path / "out").glob("*.npy"))) == count
    run = hifigan("mel", "-", "-o", tmp_path / "x.npy", "--shard", "1/2", stdin=b"x")
    assert run.returncode == 2


def test_mel_conventions(wav: Path, model: Path, tmp_path: Path) -> None:
    """The convention comes from --set, --like or --preset; --like and --set contradict."""
    run = hifigan("mel", wav, "-o", tmp_path / "a.npy", "--set", "n_mels=40")
    assert run.returncode == 0, run.stderr
    assert np.load(tmp_path / "a.npy").shape[0] == 40
    assert hifigan("mel", wav, "-o", tmp_path / "b.npy", "--like", model).returncode == 0
    run = hifigan("mel", wav, "-o", tmp_path / "d.npy", "--preset", "v1-48k")
    assert run.returncode == 0, run.stderr
    assert np.load(tmp_path / "d.npy").shape == (128, 28_665 * 48_000 // 22_050 // 512)
    run = hifigan("mel", wav, "-o", tmp_path / "c.npy", "-m", model, "--set", "n_mels=40")
    assert run.returncode == 2


def test_info(wav: Path, model: Path, tmp_path: Path) -> None:
    """`info` recognizes each kind of file and prints its facts."""
    hifigan("mel", wav, "-o", tmp_path / "mel.npy")
    expected = {wav: "audio", model: "vocoder model", tmp_path / "mel.npy": "mel"}
    facts = {}
    for path, kind in expected.items():
        run = hifigan("info", path, "--json")
        assert run.returncode == 0, run.stderr
        facts[kind] = json.loads(run.stdout)["facts"]
        assert json.loads(run.stdout)["kind"] == kind
    assert facts["audio"]["length_s"] == 1.3
    assert facts["mel"]["shape"] == [80, 111]
    assert facts["vocoder model"]["mel"]["sample_rate"] == 22_050
    (tmp_path / "x.txt").write_text("nothing")
    assert hifigan("info", tmp_path / "x.txt").returncode == 3
    assert hifigan("info").returncode == 2


def test_info_resolved(tmp_path: Path) -> None:
    """Every value has its source: the environment overrides --config, and --set overrides both."""
    (tmp_path / "c.toml").write_text('preset = "v2"\n[train]\nbatch_size = 4\nseed = 5\n')
    run = hifigan(
        *("info", "--resolved", "--config", tmp_path / "c.toml", "--set", "seed=6", "--json"),
        env={"HIFIGAN_BATCH_SIZE": "8"},
    )
    assert run.returncode == 0, run.stderr
    event = json.loads(run.stdout)
    assert event["values"]["train.batch_size"] == 8
    assert event["sources"]["train.batch_size"] == "HIFIGAN_BATCH_SIZE"
    assert (event["values"]["train.seed"], event["sources"]["train.seed"]) == (6, "--set")
    assert event["values"]["generator.upsample_initial_channel"] == 128


def test_mel_output(wav: Path, model: Path, tmp_path: Path) -> None:
    """`mel` works with pipes and does not write to audio file names."""
    piped = hifigan_bytes("mel", "-", "-o", "-", stdin=wav.read_bytes())
    assert piped.returncode == 0, piped.stderr
    assert hifigan("mel", wav, "-o", tmp_path / "m.npy").returncode == 0
    assert piped.stdout == (tmp_path / "m.npy").read_bytes()
    content = wav.read_bytes()
    assert hifigan("mel", wav, "-o", tmp_path / "o.wav").returncode == 2
    assert wav.read_bytes() == content
    assert not (tmp_path / "o.wav").exists()


def test_info_of_damaged_files(model: Path, tmp_path: Path) -> None:
    """A truncated model fails with exit code 5; NaN values are counted; a truncated log is read."""
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(model.read_bytes()[:2000])
    assert hifigan("info", truncated).returncode == 5
    np.save(tmp_path / "nan.npy", np.full((80, 3), np.nan, np.float32))
    facts = json.loads(hifigan("info", tmp_path / "nan.npy", "--json").stdout)["facts"]
    assert facts["nonfinite_values"] == 240
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 7}\n{"event": "tra')
    facts = json.loads(hifigan("info", tmp_path / "run", "--json").stdout)["facts"]
    assert facts["step"] == 7
