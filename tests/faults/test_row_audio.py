"""Rows 1 to 22: what comes in. The bad files go to one command, the good ones to another."""

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
from tests.audio.bad_files import CODECS, HALF_WAV, bad_files, files_of
from tests.audio.sounds import encoded, voice
from tests.audio.test_reading import STEPS, STORED
from tests.faults.circumstances import as_user, permissions_hold
from tests.faults.command import Command, Ended

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Batch:
    """A folder of files, and what became of it."""

    ended: Ended
    source: Path
    out: Path

    def samples(self, name: str) -> npt.NDArray[np.float32]:
        """Read a result."""
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
    ended = command("resynth", source, "-o", out, "-m", model, "--json", *options)
    return Batch(ended, source, out)


PLAIN = "--no-enhance"  # most of a command's time, and none of these rows


@pytest.fixture(scope="module")
def bad(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Resynthesize all files that must be refused."""
    folder = tmp_path_factory.mktemp("bad")
    source = write(folder / "in", {f"{n}.wav": bad.content for n, bad in bad_files().items()})
    return batch(source, folder / "out", model, PLAIN)


@pytest.fixture(scope="module")
def repaired(bad: Batch, model: Path) -> Batch:
    """Resynthesize the same files with --repair."""
    return batch(bad.source, bad.out.with_name("repaired"), model, PLAIN, "--repair")


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
    """Return files that must all be resynthesized, whatever is odd about them."""
    codecs = {name: encoded(voice(), *CODECS[name]) for name in ("mp3", "vorbis", "opus")}
    return {
        **{f"short {n}.wav": encoded(voice(1.0)[:, :n]) for n in LENGTHS},
        "loud.wav": encoded(4 * voice(), subtype="FLOAT"),
        **{f"{name}.wav": encoded(voice(), name) for name in CONTAINERS},
        **{f"{name}.wav": content for name, content in codecs.items()},
        **{f"{n} channels.wav": encoded(voice(0.3, n)) for n in (2, 6)},
        **{
            f"{sample_rate} Hz.wav": encoded(voice(3.0), sample_rate=sample_rate)
            for sample_rate in RATES
        },
        **{name: encoded(voice(), container) for name, container in WRONG_NAMES.items()},
        **{os.fsdecode(name): encoded(voice(0.1)) for name in ODD_NAMES},
    }


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Resynthesize all files that must be taken."""
    folder = tmp_path_factory.mktemp("good")
    found = batch(
        write(folder / "in", good_files()), folder / "out", model, PLAIN, "--keep-sample-rate"
    )
    assert found.ended.code == 0, found.ended.err
    return found


@pytest.fixture(scope="module")
def usual_bytes(model: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return the peak of memory of a command with one small recording."""
    folder = tmp_path_factory.mktemp("usual")
    source = write(folder / "in", {"a.wav": encoded(voice(0.3))})
    return batch(source, folder / "out", model, PLAIN).ended.peak_bytes


@pytest.fixture(scope="module")
def enhanced(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Resynthesize a few short ones of the good files with the enhancement, as by default."""
    folder = tmp_path_factory.mktemp("enhanced")
    files = {name: content for name, content in good_files().items() if "short" in name}
    files["2 channels.wav"] = encoded(voice(0.3, 2))
    files["44056 Hz.wav"] = encoded(voice(0.5), sample_rate=44_056)
    found = batch(write(folder / "in", files), folder / "out", model, "--keep-sample-rate")
    assert found.ended.code == 0, found.ended.err
    return found


def check_refused(bad: Batch, number: int, record: Record) -> None:
    """Check that each file of a row failed with exit code 3 and its reason, and left nothing."""
    told = {Path(entry["source"]).stem: entry for entry in bad.ended.told("summary")["failed"]}
    for name, file in files_of(number).items():
        assert told[name]["exit_code"] == 3, name
        assert re.search(file.says, f"{told[name]['message']} {told[name]['hint']}"), told[name]
    record("exit_code", told[name]["exit_code"])
    assert bad.ended.code == 6
    assert not list(bad.out.rglob("*"))


def test_row_01_empty_file(
    cli: Command, bad: Batch, model: Path, tmp_path: Path, record_property: Record
) -> None:
    """Exit 3, and the word "empty"; of one file, nothing is left."""
    check_refused(bad, 1, record_property)
    (tmp_path / "in.wav").touch()
    said = cli.refused(3, "resynth", tmp_path / "in.wav", "-o", tmp_path / "o.wav", "-m", model)
    assert "in.wav is empty (0 bytes)" in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.wav"]


def test_row_02_header_only(bad: Batch, record_property: Record) -> None:
    """A header without samples is exit 3 in every container."""
    check_refused(bad, 2, record_property)


def test_row_03_shorter_than_a_window(
    cli: Command, good: Batch, enhanced: Batch, tmp_path: Path
) -> None:
    """resynth keeps the length, to the sample; preprocess leaves it out and counts it."""
    names = [f"short {n}.wav" for n in LENGTHS]
    for out in (good.out, enhanced.out):
        assert [soundfile.info(out / name).frames for name in names] == list(LENGTHS)
    files = {name: (good.source / name).read_bytes() for name in names}
    files |= {f"long{seed}.wav": encoded(voice(0.5, seed=seed)) for seed in range(2)}
    source = write(tmp_path / "in", files)
    ended = cli.done("preprocess", source, "-o", tmp_path / "p", "--workers", "1", "--json")
    assert ended.told("prepared")["rejected"] == {"too short": len(LENGTHS)}


def test_row_04_samples_that_are_no_numbers(
    bad: Batch, repaired: Batch, record_property: Record
) -> None:
    """Exit 3 with the first index; --repair takes silence there and says so."""
    check_refused(bad, 4, record_property)
    names = [f"{name}.wav" for name in files_of(4)]
    assert all(np.isfinite(repaired.samples(name)).all() for name in names)
    for name in names:
        assert re.search(rf"warning: .*{re.escape(name)} has 2 samples", repaired.ended.err)


def test_row_05_peak_above_full_scale(bad: Batch, good: Batch, record_property: Record) -> None:
    """Scaled with a warning; beyond 10 000 it is no audio."""
    check_refused(bad, 5, record_property)
    assert "loud.wav exceeds full scale 2 times" in good.ended.err


def test_row_06_clipped_dc_and_silence(cli: Command, tmp_path: Path) -> None:
    """The default model: each is done and reported; silence stays quiet, and nothing is NaN."""
    files = {
        "clipped.wav": encoded(np.clip(6 * voice(0.4), -1, 1)),
        "dc.wav": encoded(np.full((1, 8000), 0.4, np.float32)),
        "silence.wav": encoded(np.zeros((1, 8000), np.float32)),
    }
    ended = cli.done("resynth", write(tmp_path / "in", files), "-o", tmp_path / "out")
    results = {path.name: read_audio(path).samples for path in (tmp_path / "out").iterdir()}
    assert results.keys() == files.keys()
    assert all(np.isfinite(samples).all() for samples in results.values())
    assert np.abs(results["silence.wav"]).max() < 0.01
    for words in ("clipped.wav is clipped", "dc.wav has an offset", "silence.wav is silent"):
        assert words in ended.err


def test_row_07_ways_to_store_a_sample(cli: Command, tmp_path: Path) -> None:
    """The mel of each is that of the reference, as near as its step allows."""
    original = voice(0.4, seed=2)
    files = {f"{c} {s}.snd": encoded(original, c, s) for c, s in STORED}
    files["reference.wav"] = encoded(original, subtype="FLOAT")
    cli.done("mel", write(tmp_path / "in", files), "-o", tmp_path / "out")
    mels = {path.stem: np.load(path) for path in (tmp_path / "out").iterdir()}
    reference = mels.pop("reference")
    loud = reference > reference.max() - 3
    assert len(mels) == len(STORED)
    for name, mel in mels.items():
        part = mel[:, : reference.shape[1]]  # ADPCM fills its last block
        worst = np.abs(part - reference)[loud].max()
        assert worst <= 1e-3 + 10 * STEPS[name.partition(" ")[2]], (name, worst)


def test_row_08_every_container(good: Batch) -> None:
    """All are read, with the length they have."""
    names = (*CONTAINERS, "mp3", "vorbis", "opus")
    lengths = {name: soundfile.info(good.out / f"{name}.wav").duration for name in names}
    assert lengths == pytest.approx(dict.fromkeys(names, 0.5), rel=0.1)


def test_row_09_channels(
    cli: Command, good: Batch, enhanced: Batch, model: Path, tmp_path: Path
) -> None:
    """Every channel is synthesized by itself; --mono mixes them; none is dropped."""
    for found, channels in ((good, 2), (good, 6), (enhanced, 2)):
        samples = found.samples(f"{channels} channels.wav")
        assert len(np.unique(samples, axis=0)) == channels
        assert np.abs(samples).max(axis=1).min() > 0.001
    source, out = good.source / "6 channels.wav", tmp_path / "m.wav"
    cli.done("resynth", source, "-o", out, "-m", model, "--mono", PLAIN)
    assert soundfile.info(out).channels == 1


def test_row_10_rates(good: Batch, enhanced: Batch, usual_bytes: int) -> None:
    """8 to 192 kHz, co-prime ones among them: the length holds, time and memory stay small."""
    for sample_rate in RATES:
        info = soundfile.info(good.out / f"{sample_rate} Hz.wav")
        assert (info.samplerate, info.frames) == (sample_rate, 3 * 22_050)
    info = soundfile.info(enhanced.out / "44056 Hz.wav")
    assert (info.samplerate, info.frames) == (44_056, 11_025)
    assert good.ended.peak_bytes - usual_bytes < 300e6
    events = [event for event in good.ended.events if "elapsed_s" in event]
    took = {event["source"]: event["elapsed_s"] for event in events if " Hz" in event["source"]}
    assert len(took) == len(RATES)
    assert max(took.values()) < 2, took  # 22 050 / 8000 * 3 s of speech among them


def test_row_11_impossible_rates(bad: Batch, record_property: Record) -> None:
    """Exit 3, and the rate that is claimed."""
    check_refused(bad, 11, record_property)


def test_row_12_impossible_channels(bad: Batch, record_property: Record) -> None:
    """Exit 3, and the number that is claimed."""
    check_refused(bad, 12, record_property)


def test_row_13_claimed_lengths(
    bad: Batch, repaired: Batch, usual_bytes: int, record_property: Record
) -> None:
    """Exit 3, or with --repair what is there; memory stays that of a small file."""
    check_refused(bad, 13, record_property)
    assert set(repaired.ended.failed.values()) <= {3}
    for run in (bad, repaired):
        assert run.ended.peak_bytes - usual_bytes < 300e6


def test_row_14_truncated(bad: Batch, repaired: Batch, record_property: Record) -> None:
    """Exit 3; with --repair a warning and what is there."""
    check_refused(bad, 14, record_property)
    path = repaired.out / f"{HALF_WAV}.wav"
    assert soundfile.info(path).frames == (len(files_of(14)[HALF_WAV].content) - 44) // 2
    assert re.search(rf"warning: .*{re.escape(path.name)} is truncated", repaired.ended.err)


def test_row_15_corrupt_codecs(bad: Batch, record_property: Record) -> None:
    """A single flipped bit in FLAC, Vorbis or Opus is exit 3."""
    check_refused(bad, 15, record_property)


def test_row_16_wrong_extension(good: Batch) -> None:
    """The content decides, not the name."""
    for name in WRONG_NAMES:
        assert soundfile.info(good.out / Path(name).with_suffix(".wav")).duration == 0.5


def test_row_17_not_audio(bad: Batch, record_property: Record) -> None:
    """HTML, text, noise and zeros under the name of a recording are exit 3, "not audio"."""
    check_refused(bad, 17, record_property)


def test_row_18_exotic_containers(bad: Batch, record_property: Record) -> None:
    """What libsndfile would open, and no speech comes in, is exit 3."""
    assert len(files_of(18)) > 6
    check_refused(bad, 18, record_property)


def test_row_19_no_file(cli: Command, model: Path, tmp_path: Path) -> None:
    """A FIFO without a writer, a device, a folder where a file belongs: exit 3, at once."""
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    out = tmp_path / "o.wav"
    for path in (fifo, Path("/dev/zero")):
        said = cli.refused(3, "resynth", path, "-o", out, "-m", model, timeout_s=30)
        assert "not a regular file" in said
    (tmp_path / "folder.wav").mkdir()
    assert "no files" in cli.refused(
        3, "resynth", tmp_path / "folder.wav", "-o", out.with_name("d")
    )
    assert "folder" in cli.refused(3, "vocode", tmp_path / "folder.wav", "-o", tmp_path / "d")
    assert not out.exists()


def test_row_20_links_to_nowhere(cli: Command, model: Path, tmp_path: Path) -> None:
    """The system's own reason; and the walk of a folder that links to itself ends."""
    dangling, loop = tmp_path / "dangling.wav", tmp_path / "loop.wav"
    dangling.symlink_to(tmp_path / "absent.wav")
    loop.symlink_to(loop)
    out = tmp_path / "o.wav"
    assert "No such file" in cli.refused(3, "resynth", dangling, "-o", out, "-m", model)
    source = tmp_path / "in"
    source.mkdir()
    (source / "good.wav").write_bytes(encoded(voice()))
    (source / "up").symlink_to(source)
    loop.rename(source / "loop.wav")
    (source / "loop.wav").unlink()
    (source / "loop.wav").symlink_to(source / "loop.wav")
    words = ("resynth", source, "-o", tmp_path / "out", "-m", model, "--json", PLAIN)
    ended = cli(*words, timeout_s=60)
    assert ended.code == 6
    assert ended.failed == {"loop.wav": 3}
    assert "symbolic links" in ended.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.wav"]


@pytest.mark.skipif(not permissions_hold(), reason="no right to give up root's rights")
def test_row_21_unreadable_file(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Exit 3 with the system's reason."""
    wav.chmod(0)
    said = cli.refused(3, "resynth", wav, "-o", tmp_path / "o.wav", "-m", model, prepare=as_user)
    assert "Permission denied" in said


def test_row_22_odd_names(cli: Command, good: Batch, model: Path) -> None:
    """Any name is a name: in a folder, by itself, and in JSON."""
    made = {os.fsencode(path.name) for path in good.out.iterdir()}
    assert set(ODD_NAMES) <= made
    assert good.ended.told("summary")["made"] == len(made) == len(good_files())
    source = good.source
    said = cli.refused(2, "resynth", b"-o.wav", "-o", "out.wav", "-m", model, cwd=source)
    assert "the file is ./-o.wav" in said
    for name in (b"-o.wav", b"invalid \xff utf-8.wav"):
        cli.done("resynth", "-o", "out.wav", "-f", "-m", model, PLAIN, "--", name, cwd=source)
