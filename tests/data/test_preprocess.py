"""Test `preprocess` from a corpus to a prepared folder: exactness, idempotence, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.cli.main import run as command
from hifigan_cli.config import MelConfig
from hifigan_cli.data import open_prepared
from hifigan_cli.data.preparation import parse_validation
from hifigan_cli.errors import OutputError, UsageError
from hifigan_cli.io.locks import folder_lock
from tests.data.corpora import digests, prepare, prepare_and_open, write, write_corpus
from tests.helpers import hifigan, speech


def stored_samples(folder: Path) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.fromfile(folder / "samples-00000.i16", "<i2")


def test_sixteen_bit_clips_are_packed_exactly(tmp_path: Path) -> None:
    """Training reads the exact samples of 16-bit clips at the right rate."""
    folder = write_corpus(tmp_path / "in", 3)
    data = prepare_and_open(folder, tmp_path / "out")
    originals = [soundfile.read(path, dtype="int16")[0] for path in sorted(folder.iterdir())]
    assert np.array_equal(stored_samples(tmp_path / "out"), np.concatenate(originals))
    clip = data.validation[0]
    original = soundfile.read(folder / clip.path, dtype="int16")[0] / 32_768
    read = data.samples(clip)
    assert np.abs(read).max() == np.float32(0.95)
    assert np.allclose(read, original * 0.95 / np.abs(original).max(), atol=1e-7)
    assert np.array_equal(data.samples(clip, 100, 300), read[100:300])
    assert len(data.samples(clip, clip.samples - 5, clip.samples + 100)) == 5


def test_channels_rates_and_bit_depths(tmp_path: Path) -> None:
    """Channels are averaged and rates converted, so equal speech gives equal samples."""
    voice = speech(0.6, seed=2)
    write(tmp_path / "in" / "a.wav", voice, subtype="FLOAT")
    write(tmp_path / "in" / "b.wav", np.stack([voice * 1.5, voice * 0.5], axis=1), subtype="FLOAT")
    data = prepare_and_open(tmp_path / "in", tmp_path / "out")
    clips = [*data.training, *data.validation]
    a, b = (data.samples(clip) for clip in sorted(clips, key=lambda clip: clip.name))
    assert np.abs(a - b).max() < 2e-4
    assert np.abs(a - voice * 0.95 / np.abs(voice).max()).max() < 1e-4
    low = prepare_and_open(
        tmp_path / "in", tmp_path / "low", mel=MelConfig(sample_rate=16_000, fmax=None)
    )
    assert low.sample_rate == 16_000
    assert low.training[0].samples == 9600
    assert low.training[0].source_sample_rate == 22_050


def test_trim_shortens(tmp_path: Path) -> None:
    """Silence at both ends is cut only with `trim`."""
    quiet = np.zeros(11_025, np.float32)
    write(tmp_path / "in" / "a.wav", np.concatenate([quiet, speech(0.5), quiet]))
    untrimmed = prepare_and_open(tmp_path / "in", tmp_path / "untrimmed").training[0].samples
    trimmed = prepare_and_open(tmp_path / "in", tmp_path / "trim", trim=True).training[0].samples
    assert untrimmed == 22_050 + 11_025
    assert 0.5 * 22_050 <= trimmed <= 0.63 * 22_050


@pytest.mark.parametrize("seed", [0, 1])
def test_two_runs_give_the_same_bytes(tmp_path: Path, seed: int) -> None:
    """The result does not depend on time, path or order of completion."""
    write_corpus(tmp_path / "in", 9)
    for name, workers in (("a", 1), ("b", 3)):
        prepare(tmp_path / "in", tmp_path / name, workers=workers, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert set(digests(tmp_path / "a")) == {
        "clips.jsonl",
        "prepared.json",
        "rejected.jsonl",
        "samples-00000.i16",
    }


def test_finished_folder_is_not_changed(tmp_path: Path) -> None:
    """The same command again reports that the folder is up to date, and writes nothing."""
    write_corpus(tmp_path / "in", 3)
    assert prepare(tmp_path / "in", tmp_path / "out").state == "prepared"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert prepare(tmp_path / "in", tmp_path / "out").state == "up to date"
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


def test_differences_are_named(tmp_path: Path) -> None:
    """Other options or files are errors that name them; `force` prepares again."""
    folder = write_corpus(tmp_path / "in", 3)
    out = tmp_path / "out"
    prepare(folder, out)
    before = digests(out)
    with pytest.raises(OutputError, match=r"trim .*False.* True") as caught:
        prepare(folder, out, trim=True)
    assert "--force" in str(caught.value.hint)
    status = (folder / "clip001.wav").stat()
    content = bytearray((folder / "clip001.wav").read_bytes())
    content[-1] ^= 1
    (folder / "clip001.wav").write_bytes(content)  # of the same size
    with pytest.raises(OutputError, match=r"1 .*changed \(clip001\.wav\)"):
        prepare(folder, out)
    assert status.st_size == len(content)
    (folder / "clip002.wav").rename(folder / "new.wav")
    with pytest.raises(OutputError, match=r"1 .*new \(new\.wav\); 1 .*removed \(clip002\.wav\)"):
        prepare(folder, out)
    assert digests(out) == before
    assert prepare(folder, out, force=True).state == "prepared"
    assert digests(out) != before


def test_repaired_rejected_file_is_detected(tmp_path: Path) -> None:
    """The comparison includes rejected files."""
    folder = write_corpus(tmp_path / "in", 2)
    write(folder / "bad.wav", np.zeros(9000, np.float32))
    prepare(folder, tmp_path / "out")
    write(folder / "bad.wav", speech(0.5))
    with pytest.raises(OutputError, match=r"bad\.wav"):
        prepare(folder, tmp_path / "out")


def test_damaged_folder_is_detected(tmp_path: Path) -> None:
    """A flipped bit in the packed samples is an error that names the clip."""
    write_corpus(tmp_path / "in", 3)
    data = prepare_and_open(tmp_path / "in", tmp_path / "out")
    packed = tmp_path / "out" / "samples-00000.i16"
    content = bytearray(packed.read_bytes())
    content[data.validation[0].offset * 2 + 11] ^= 64
    packed.write_bytes(content)
    with pytest.raises(OutputError, match=f"1 clips .*: {data.validation[0].name}"):
        prepare(tmp_path / "in", tmp_path / "out")


def test_folder_with_other_files_is_rejected(tmp_path: Path) -> None:
    """Prepared data is added to other files only with `force`."""
    write_corpus(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        prepare(tmp_path / "in", tmp_path / "out")
    assert list(digests(tmp_path / "out")) == ["thesis.tex"]
    prepare(tmp_path / "in", tmp_path / "out", force=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=str(tmp_path / "file")):
        prepare(tmp_path / "in", tmp_path / "file")


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_dry_run_has_the_errors_of_the_run(tmp_path: Path, dry: list[str]) -> None:
    """The dry run of a command with exit code 4 ends with 4 too, and writes nothing."""
    folder = write_corpus(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    for out in (tmp_path / "out", tmp_path / "out" / "thesis.tex", tmp_path / ("x" * 300)):
        assert command(["preprocess", str(folder), "-o", str(out), *dry]) == 4
    assert list(digests(tmp_path / "out")) == ["thesis.tex"]


@pytest.mark.parametrize("name", ["x" * 300, "a\nb"])
def test_impossible_corpus_names(tmp_path: Path, name: str) -> None:
    """A name that is too long, for which pathlib raises, is a missing corpus."""
    assert command(["preprocess", str(tmp_path / name), "-o", str(tmp_path / "out")]) == 3
    assert not (tmp_path / "out").exists()


def test_brackets_in_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table prints the folder literally; the plan reports the effect of --force."""
    monkeypatch.setenv("COLUMNS", "300")
    folder, out = write_corpus(tmp_path / "in", 2), tmp_path / "pp[" / "x]"
    assert command(["preprocess", str(folder), "-o", str(out), "--workers", "1"]) == 0
    assert f"{out}," in capsys.readouterr().err
    assert command(["preprocess", str(folder), "-o", str(out), "--dry-run", "--force"]) == 0
    plan = capsys.readouterr().out
    assert f"{out} " in plan
    assert "--force" in plan


def test_second_run_is_rejected(tmp_path: Path) -> None:
    """Two runs in one folder would damage it; the error names the first process."""
    write_corpus(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    with folder_lock(tmp_path / "out"), pytest.raises(OutputError, match=r"pid \d+"):
        prepare(tmp_path / "in", tmp_path / "out")
    prepare(tmp_path / "in", tmp_path / "out")


def test_conflicting_options(tmp_path: Path) -> None:
    """Trimming would shift a recording relative to its mel."""
    write_corpus(tmp_path / "in", 2)
    with pytest.raises(UsageError, match="--trim"):
        prepare(tmp_path / "in", tmp_path / "out", trim=True, mels=tmp_path)


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    """The plan counts and estimates, and creates no output folder."""
    folder = write_corpus(tmp_path / "in", 4)
    (folder / "bad.wav").write_text("no audio")
    out = tmp_path / "out"
    run = hifigan("preprocess", folder, "-o", out, "--dry-run", "--json")
    plan = json.loads(run.stdout)
    assert (plan["event"], plan["files"], plan["unreadable"]) == ("plan", 5, 1)
    assert plan["state"] == "new"
    assert not out.exists()
    prepare(folder, out)
    size = sum(path.stat().st_size for path in out.iterdir())
    assert 0.8 * size < plan["output_bytes"] < 1.3 * size
    assert plan["hours"] == pytest.approx((0.4 * 4 + 0.03 * 6) / 3600, rel=1e-3)


def test_real_clips_by_command(tmp_path: Path, shared_data: Path) -> None:
    """Several processes store real LJSpeech recordings exactly; the report is JSON."""
    source = shared_data / "valid" / "ljspeech"
    out = tmp_path / "prepared"
    run = hifigan("preprocess", source, "-o", out, "--workers", "2", "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["event"] == "prepared"
    assert result["training"]["clips"] + result["validation"]["clips"] == 38
    assert result["source_rates_hz"] == {"22050": 38}
    assert result["rejected"] == {}
    data = open_prepared(out)
    data.verify()
    for clip in (data.training[0], data.validation[-1]):
        original = soundfile.read(source / clip.path, dtype="int16")[0]
        assert np.array_equal(
            stored_samples(out)[clip.offset : clip.offset + clip.samples], original
        )
    again = hifigan("preprocess", source, "-o", out, "--json")
    assert json.loads(again.stdout)["state"] == "up to date"
    assert json.loads(again.stdout)["digest"] == data.digest


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "150%", "many", "100%"])
def test_validation_option_is_checked(text: str) -> None:
    """The option accepts only a fraction or a count."""
    with pytest.raises(UsageError, match="--validation"):
        parse_validation(text)
