"""Rows 1 to 22 of the fault matrix (`matrix.py`): audio inputs.

One command gets all bad files, and another all good ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hifigan_cli.audio import read_audio
from tests.audio.bad_files import CODECS, HALF_WAV, bad_files, files_of_row
from tests.audio.sounds import encode, voice
from tests.audio.test_reading import FORMATS, MAX_ERRORS
from tests.faults.command import Command, CommandResult
from tests.faults.limits import drop_privileges, permissions_apply

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Batch:
    """A folder of files, and the result of the command that processed it."""

    result: CommandResult
    source: Path
    out: Path

    def samples(self, name: str) -> npt.NDArray[np.float32]:
        """Read an output file."""
        return read_audio(self.out / name).samples


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a new folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def batch(source: Path, out: Path, model: Path, *options: str) -> Batch:
    """Resynthesize a folder."""
    command = Command(lambda _code: None)
    result = command("resynth", source, "-o", out, "-m", model, "--json", *options)
    return Batch(result, source, out)


NO_ENHANCE = "--no-enhance"  # these rows do not need the enhancement, which is slow


@pytest.fixture(scope="module")
def bad(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Resynthesize all files that must be rejected."""
    folder = tmp_path_factory.mktemp("bad")
    source = write(folder / "in", {f"{n}.wav": bad.content for n, bad in bad_files().items()})
    return batch(source, folder / "out", model, NO_ENHANCE)


@pytest.fixture(scope="module")
def repaired(bad: Batch, model: Path) -> Batch:
    """Resynthesize the same files with --repair."""
    return batch(bad.source, bad.out.with_name("repaired"), model, NO_ENHANCE, "--repair")


LENGTHS = (1, 2, 255, 256, 257, 1023)
RATES = (8_000, 11_025, 16_000, 22_051, 44_056, 44_100, 48_000, 96_000, 192_000)
CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")
WRONG_NAMES = {"a.mp3": "FLAC", "b.flac": "WAV", "c.wav": "AIFF", "d.ogg": "CAF"}
ODD_NAMES = (
    b"two words.wav",
    "žluťoučký 鳥.wav".encode(),
    b"new\nline.wav",
    b"-o.wav",
    b"%d%s.wav",
    b"[bold]rich[red].wav",
    b"invalid \xff utf-8.wav",
    ("é" * 120 + ".wav").encode(),
)


def good_files() -> dict[str, bytes]:
    """Return unusual files that must all be resynthesized."""
    codecs = {name: encode(voice(), *CODECS[name]) for name in ("mp3", "vorbis", "opus")}
    return {
        **{f"short {n}.wav": encode(voice(1.0)[:, :n]) for n in LENGTHS},
        "loud.wav": encode(4 * voice(), subtype="FLOAT"),
        **{f"{name}.wav": encode(voice(), name) for name in CONTAINERS},
        **{f"{name}.wav": content for name, content in codecs.items()},
        **{f"{n} channels.wav": encode(voice(0.3, n)) for n in (2, 6)},
        **{
            f"{sample_rate} Hz.wav": encode(voice(3.0), sample_rate=sample_rate)
            for sample_rate in RATES
        },
        **{name: encode(voice(), container) for name, container in WRONG_NAMES.items()},
        **{os.fsdecode(name): encode(voice(0.1)) for name in ODD_NAMES},
    }


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Resynthesize all files that must be accepted."""
    folder = tmp_path_factory.mktemp("good")
    source = write(folder / "in", good_files())
    good = batch(source, folder / "out", model, NO_ENHANCE, "--keep-sample-rate")
    assert good.result.exit_code == 0, good.result.stderr
    return good


@pytest.fixture(scope="module")
def baseline_bytes(model: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return the peak memory of a command with one small recording."""
    folder = tmp_path_factory.mktemp("usual")
    source = write(folder / "in", {"a.wav": encode(voice(0.3))})
    return batch(source, folder / "out", model, NO_ENHANCE).result.peak_bytes


@pytest.fixture(scope="module")
def enhanced(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Resynthesize a few short good files with the enhancement."""
    folder = tmp_path_factory.mktemp("enhanced")
    files = {name: content for name, content in good_files().items() if "short" in name}
    files["2 channels.wav"] = encode(voice(0.3, 2))
    files["44056 Hz.wav"] = encode(voice(0.5), sample_rate=44_056)
    enhanced = batch(write(folder / "in", files), folder / "out", model, "--keep-sample-rate")
    assert enhanced.result.exit_code == 0, enhanced.result.stderr
    return enhanced


def check_rejected(bad: Batch, number: int, record: Record) -> None:
    """Check that each file of a row failed with exit code 3 and its reason, without an output."""
    failed = {
        Path(entry["source"]).stem: entry for entry in bad.result.last_event("summary")["failed"]
    }
    for name, file in files_of_row(number).items():
        assert failed[name]["exit_code"] == 3, name
        assert re.search(file.pattern, f"{failed[name]['message']} {failed[name]['hint']}"), failed[
            name
        ]
    record("exit_code", failed[name]["exit_code"])
    assert bad.result.exit_code == 6
    assert not list(bad.out.rglob("*"))


def test_row_01_empty_file(
    cli: Command, bad: Batch, model: Path, tmp_path: Path, record_property: Record
) -> None:
    """Exit code 3 and the file's size; a single file leaves no output."""
    check_rejected(bad, 1, record_property)
    (tmp_path / "in.wav").touch()
    stderr = cli.expect_error(
        3, "resynth", tmp_path / "in.wav", "-o", tmp_path / "o.wav", "-m", model
    )
    assert re.search(r"in\.wav .*\b0 bytes", stderr)
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.wav"]


def test_row_02_header_only(bad: Batch, record_property: Record) -> None:
    """Exit code 3 in every container."""
    check_rejected(bad, 2, record_property)


def test_row_03_shorter_than_a_window(
    cli: Command, good: Batch, enhanced: Batch, tmp_path: Path
) -> None:
    """resynth preserves the number of samples; preprocess counts the recording as too short."""
    names = [f"short {n}.wav" for n in LENGTHS]
    for out in (good.out, enhanced.out):
        assert [soundfile.info(out / name).frames for name in names] == list(LENGTHS)
    files = {name: (good.source / name).read_bytes() for name in names}
    files |= {f"long{seed}.wav": encode(voice(0.5, seed=seed)) for seed in range(2)}
    source = write(tmp_path / "in", files)
    result = cli.expect_success(
        "preprocess", source, "-o", tmp_path / "p", "--workers", "1", "--json"
    )
    assert result.last_event("prepared")["rejected"] == {"too short": len(LENGTHS)}


def test_row_04_nonfinite_samples(bad: Batch, repaired: Batch, record_property: Record) -> None:
    """Exit code 3 with the first index; --repair replaces them by silence, with a warning."""
    check_rejected(bad, 4, record_property)
    names = [f"{name}.wav" for name in files_of_row(4)]
    assert all(np.isfinite(repaired.samples(name)).all() for name in names)
    for name in names:
        assert re.search(rf"warning: .*{re.escape(name)} .*\b2 NaN", repaired.result.stderr)


def test_row_05_peak_above_full_scale(bad: Batch, good: Batch, record_property: Record) -> None:
    """The recording is scaled, with a warning; a peak above 10 000 fails with exit code 3."""
    check_rejected(bad, 5, record_property)
    assert re.search(r"warning: .*loud\.wav .*\b2 times", good.result.stderr)


def test_row_06_clipped_dc_and_silence(cli: Command, tmp_path: Path) -> None:
    """The default model reports and processes each; silence stays quiet, and nothing is NaN."""
    files = {
        "clipped.wav": encode(np.clip(6 * voice(0.4), -1, 1)),
        "dc.wav": encode(np.full((1, 8000), 0.4, np.float32)),
        "silence.wav": encode(np.zeros((1, 8000), np.float32)),
    }
    result = cli.expect_success("resynth", write(tmp_path / "in", files), "-o", tmp_path / "out")
    results = {path.name: read_audio(path).samples for path in (tmp_path / "out").iterdir()}
    assert results.keys() == files.keys()
    assert all(np.isfinite(samples).all() for samples in results.values())
    assert np.abs(results["silence.wav"]).max() < 0.01
    for name in files:
        assert re.search(rf"warning: .*{re.escape(name)} ", result.stderr), name


def test_row_07_sample_formats(cli: Command, tmp_path: Path) -> None:
    """Each mel equals that of the reference within the format's quantization step."""
    original = voice(0.4, seed=2)
    files = {f"{c} {s}.snd": encode(original, c, s) for c, s in FORMATS}
    files["reference.wav"] = encode(original, subtype="FLOAT")
    cli.expect_success("mel", write(tmp_path / "in", files), "-o", tmp_path / "out")
    mels = {path.stem: np.load(path) for path in (tmp_path / "out").iterdir()}
    reference = mels.pop("reference")
    loud = reference > reference.max() - 3
    assert len(mels) == len(FORMATS)
    for name, mel in mels.items():
        part = mel[:, : reference.shape[1]]  # ADPCM fills its last block
        error = np.abs(part - reference)[loud].max()
        assert error <= 1e-3 + 10 * MAX_ERRORS[name.partition(" ")[2]], (name, error)


def test_row_08_every_container(good: Batch) -> None:
    """Every container is read completely."""
    names = (*CONTAINERS, "mp3", "vorbis", "opus")
    lengths = {name: soundfile.info(good.out / f"{name}.wav").duration for name in names}
    assert lengths == pytest.approx(dict.fromkeys(names, 0.5), rel=0.1)


def test_row_09_channels(
    cli: Command, good: Batch, enhanced: Batch, model: Path, tmp_path: Path
) -> None:
    """Each channel is synthesized separately; --mono mixes them; none is dropped."""
    for run, channels in ((good, 2), (good, 6), (enhanced, 2)):
        samples = run.samples(f"{channels} channels.wav")
        assert len(np.unique(samples, axis=0)) == channels
        assert np.abs(samples).max(axis=1).min() > 0.001
    source, out = good.source / "6 channels.wav", tmp_path / "m.wav"
    cli.expect_success("resynth", source, "-o", out, "-m", model, "--mono", NO_ENHANCE)
    assert soundfile.info(out).channels == 1


def test_row_10_sample_rates(good: Batch, enhanced: Batch, baseline_bytes: int) -> None:
    """8 to 192 kHz, including co-prime rates: the length is right, time and memory are small."""
    for sample_rate in RATES:
        info = soundfile.info(good.out / f"{sample_rate} Hz.wav")
        assert (info.samplerate, info.frames) == (sample_rate, 3 * 22_050)
    info = soundfile.info(enhanced.out / "44056 Hz.wav")
    assert (info.samplerate, info.frames) == (44_056, 11_025)
    assert good.result.peak_bytes - baseline_bytes < 300e6
    events = [event for event in good.result.events if "elapsed_s" in event]
    times_s = {event["source"]: event["elapsed_s"] for event in events if " Hz" in event["source"]}
    assert len(times_s) == len(RATES)
    assert max(times_s.values()) < 2, times_s  # up to 22 050 / 8000 * 3 s of speech


def test_row_11_invalid_sample_rates(bad: Batch, record_property: Record) -> None:
    """Exit code 3 with the rate from the header."""
    check_rejected(bad, 11, record_property)


def test_row_12_invalid_channels(bad: Batch, record_property: Record) -> None:
    """Exit code 3 with the number from the header."""
    check_rejected(bad, 12, record_property)


def test_row_13_invalid_lengths(
    bad: Batch, repaired: Batch, baseline_bytes: int, record_property: Record
) -> None:
    """Exit code 3, or the existing samples with --repair; the peak memory is small."""
    check_rejected(bad, 13, record_property)
    assert set(repaired.result.failed.values()) <= {3}
    for run in (bad, repaired):
        assert run.result.peak_bytes - baseline_bytes < 300e6


def test_row_14_truncated(bad: Batch, repaired: Batch, record_property: Record) -> None:
    """Exit code 3; with --repair a warning and the existing samples."""
    check_rejected(bad, 14, record_property)
    path = repaired.out / f"{HALF_WAV}.wav"
    assert soundfile.info(path).frames == (len(files_of_row(14)[HALF_WAV].content) - 44) // 2
    assert re.search(rf"warning: .*{re.escape(path.name)} ", repaired.result.stderr)


def test_row_15_corrupt_codecs(bad: Batch, record_property: Record) -> None:
    """A single flipped bit in FLAC, Vorbis or Opus fails with exit code 3."""
    check_rejected(bad, 15, record_property)


def test_row_16_wrong_extension(good: Batch) -> None:
    """The content determines the format, not the extension."""
    for name in WRONG_NAMES:
        assert soundfile.info(good.out / Path(name).with_suffix(".wav")).duration == 0.5


def test_row_17_not_audio(bad: Batch, record_property: Record) -> None:
    """HTML, text, noise and zeros with an audio extension are exit code 3."""
    check_rejected(bad, 17, record_property)


def test_row_18_exotic_containers(bad: Batch, record_property: Record) -> None:
    """Containers that libsndfile can open but that are not allowed are exit code 3."""
    assert len(files_of_row(18)) > 6
    check_rejected(bad, 18, record_property)


def test_row_19_no_file(cli: Command, model: Path, tmp_path: Path) -> None:
    """A FIFO without a writer, a device or an empty folder fails with exit code 3, at once."""
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    out = tmp_path / "o.wav"
    for path in (fifo, Path("/dev/zero")):
        stderr = cli.expect_error(3, "resynth", path, "-o", out, "-m", model, timeout_s=30)
        assert str(path) in stderr
    folder = tmp_path / "folder.wav"
    folder.mkdir()
    for command in ("resynth", "vocode"):
        assert str(folder) in cli.expect_error(3, command, folder, "-o", tmp_path / "d")
    assert not out.exists()


def test_row_20_broken_links(cli: Command, model: Path, tmp_path: Path) -> None:
    """The error has the system's reason; a folder that links to itself is read once."""
    dangling, loop = tmp_path / "dangling.wav", tmp_path / "loop.wav"
    dangling.symlink_to(tmp_path / "absent.wav")
    loop.symlink_to(loop)
    out = tmp_path / "o.wav"
    assert "No such file" in cli.expect_error(3, "resynth", dangling, "-o", out, "-m", model)
    source = tmp_path / "in"
    source.mkdir()
    (source / "good.wav").write_bytes(encode(voice()))
    (source / "up").symlink_to(source)
    loop.rename(source / "loop.wav")
    (source / "loop.wav").unlink()
    (source / "loop.wav").symlink_to(source / "loop.wav")
    args = ("resynth", source, "-o", tmp_path / "out", "-m", model, "--json", NO_ENHANCE)
    result = cli(*args, timeout_s=60)
    assert result.exit_code == 6
    assert result.failed == {"loop.wav": 3}
    assert "loop.wav" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.wav"]


@pytest.mark.skipif(not permissions_apply(), reason="cannot drop privileges")
def test_row_21_unreadable_file(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit code 3 with the system's reason."""
    wav.chmod(0)
    stderr = cli.expect_error(
        3, "resynth", wav, "-o", tmp_path / "o.wav", "-m", model, prepare=drop_privileges
    )
    assert "Permission denied" in stderr


def test_row_22_odd_names(cli: Command, good: Batch, model: Path) -> None:
    """Any file name works: in a folder, as an argument, and in JSON."""
    written = {os.fsencode(path.name) for path in good.out.iterdir()}
    assert set(ODD_NAMES) <= written
    assert good.result.last_event("summary")["written"] == len(written) == len(good_files())
    source = good.source
    stderr = cli.expect_error(2, "resynth", b"-o.wav", "-o", "out.wav", "-m", model, cwd=source)
    assert "./-o.wav" in stderr
    for name in (b"-o.wav", b"invalid \xff utf-8.wav"):
        cli.expect_success(
            "resynth", "-o", "out.wav", "-f", "-m", model, NO_ENHANCE, "--", name, cwd=source
        )
