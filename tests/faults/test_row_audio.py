"""Rows 1 to 22: what comes in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio import read_audio
from tests.audio.sounds import encoded, voice, wav
from tests.audio.test_reading import STEPS, STORED
from tests.audio.test_reading_faults import JUNK, TONE, claims
from tests.faults.circumstances import as_user, permissions_hold
from tests.faults.command import Command, Ended


def refused(cli: Command, model: Path, content: bytes, folder: Path) -> str:
    """Resynthesise a file that must be refused with exit 3 and leave nothing; return the words."""
    path = folder / "in.wav"
    path.write_bytes(content)
    said = cli.refused(3, "resynth", path, "-o", folder / "out.wav", "-m", model)
    assert [entry.name for entry in folder.iterdir()] == ["in.wav"]
    return said


def each_refused(cli: Command, model: Path, files: dict[str, bytes], folder: Path) -> Ended:
    """Resynthesise a folder of files each of which must be refused with exit 3."""
    source = folder / "in"
    source.mkdir()
    for name, content in files.items():
        (source / f"{name}.wav").write_bytes(content)
    ended = cli("resynth", source, "-o", folder / "out", "-m", model, "--json")
    assert ended.code == 6, ended.err
    assert ended.failed == {f"{name}.wav": 3 for name in files}
    assert not list((folder / "out").rglob("*.wav"))
    return ended


def resynthesised(
    cli: Command, model: Path, files: dict[str, bytes], folder: Path, *options: str
) -> Path:
    """Resynthesise a folder of files that are all sound; return where the results lie."""
    source = folder / "in"
    source.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    cli.done("resynth", source, "-o", folder / "out", "-m", model, *options)
    assert len(list((folder / "out").iterdir())) == len(files)
    return folder / "out"


def test_row_01_empty_file(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit 3, and the word "empty"."""
    assert "in.wav is empty (0 bytes)" in refused(cli, model, b"", tmp_path)


def test_row_02_header_only(cli: Command, model: Path, tmp_path: Path) -> None:
    """A header without samples is exit 3 in every container."""
    assert "no samples" in refused(cli, model, wav(), tmp_path)
    containers = ("WAV", "AIFF", "AU", "FLAC", "W64", "RF64", "CAF")
    empty = {name: encoded(np.zeros((1, 0), np.float32), name) for name in containers}
    (tmp_path / "in.wav").unlink()
    each_refused(cli, model, empty, tmp_path)


def test_row_03_shorter_than_a_window(cli: Command, model: Path, tmp_path: Path) -> None:
    """resynth keeps the length, to the sample; preprocess leaves it out and counts it."""
    lengths = (1, 2, 255, 256, 257, 1023)
    files = {f"{n:04}.wav": encoded(voice(1.0)[:, :n]) for n in lengths}
    out = resynthesised(cli, model, files, tmp_path)
    assert [soundfile.info(out / f"{n:04}.wav").frames for n in lengths] == list(lengths)
    for index in range(2):
        (tmp_path / "in" / f"long{index}.wav").write_bytes(encoded(voice(0.5, seed=index)))
    ended = cli.done(
        "preprocess", tmp_path / "in", "-o", tmp_path / "p", "--workers", "1", "--json"
    )
    assert ended.told("prepared")["rejected"] == {"too short": len(lengths)}


def test_row_04_samples_that_are_no_numbers(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit 3 with the first index; --repair takes silence there and says so."""
    samples = voice()
    samples[0, 123], samples[0, 456] = np.nan, np.inf
    said = refused(cli, model, encoded(samples, subtype="FLOAT"), tmp_path)
    assert "2 samples that are not numbers, the first at sample 123" in said
    assert "--repair" in said
    path, out = tmp_path / "in.wav", tmp_path / "out.wav"
    ended = cli.done("resynth", path, "-o", out, "-m", model, "--repair")
    assert "warning:" in ended.err
    assert np.isfinite(read_audio(out).samples).all()


def test_row_05_peak_above_full_scale(cli: Command, model: Path, tmp_path: Path) -> None:
    """Scaled with a warning; beyond 10 000 it is no audio."""
    assert "not audio" in refused(cli, model, encoded(3e4 * voice(), subtype="FLOAT"), tmp_path)
    (tmp_path / "in.wav").write_bytes(encoded(4 * voice(), subtype="FLOAT"))
    ended = cli.done("resynth", tmp_path / "in.wav", "-o", tmp_path / "o.wav", "-m", model)
    assert "exceeds full scale 2 times" in ended.err


def test_row_06_clipped_dc_and_silence(cli: Command, tmp_path: Path) -> None:
    """The default model: each is done and told; silence stays quiet, and nothing is NaN."""
    clipped = np.clip(6 * voice(0.4), -1, 1)
    files = {
        "clipped.wav": encoded(clipped),
        "dc.wav": encoded(np.full((1, 8000), 0.4, np.float32)),
        "silence.wav": encoded(np.zeros((1, 8000), np.float32)),
    }
    source = tmp_path / "in"
    source.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    ended = cli.done("resynth", source, "-o", tmp_path / "out")
    results = {path.name: read_audio(path).samples for path in (tmp_path / "out").iterdir()}
    assert results.keys() == files.keys()
    assert all(np.isfinite(samples).all() for samples in results.values())
    assert np.abs(results["silence.wav"]).max() < 0.01
    for words in ("clipped.wav is clipped", "dc.wav has an offset", "silence.wav is silent"):
        assert words in ended.err


def test_row_07_ways_to_store_a_sample(cli: Command, model: Path, tmp_path: Path) -> None:
    """The mel of each is that of the reference, as near as its step allows."""
    original = voice(0.4, seed=2)
    source = tmp_path / "in"
    source.mkdir()
    (source / "reference.wav").write_bytes(encoded(original, subtype="FLOAT"))
    for container, subtype in STORED:
        content = encoded(original, container, subtype)
        (source / f"{container} {subtype}.snd").write_bytes(content)
    cli.done("mel", source, "-o", tmp_path / "out")
    mels = {path.stem: np.load(path) for path in (tmp_path / "out").iterdir()}
    reference = mels.pop("reference")
    loud = reference > reference.max() - 3
    assert len(mels) == len(STORED)
    for name, mel in mels.items():
        part = mel[:, : reference.shape[1]]  # ADPCM fills its last block
        worst = np.abs(part - reference)[loud].max()
        assert worst <= 1e-3 + 10 * STEPS[name.partition(" ")[2]], (name, worst)


def test_row_08_every_container(cli: Command, model: Path, tmp_path: Path) -> None:
    """All are read, with the length they have."""
    kinds = {
        **{name: (name, "PCM_16", 22_050) for name in ("WAV", "WAVEX", "RF64", "W64")},
        **{name: (name, "PCM_16", 22_050) for name in ("AIFF", "AU", "CAF", "FLAC")},
        "ogg": ("OGG", "VORBIS", 22_050),
        "opus": ("OGG", "OPUS", 24_000),
        "mp3": ("MP3", "MPEG_LAYER_III", 22_050),
    }
    files = {f"{n}.wav": encoded(voice(), c, s, r) for n, (c, s, r) in kinds.items()}
    out = resynthesised(cli, model, files, tmp_path, "--keep-rate")
    lengths = {path.stem: soundfile.info(path).duration for path in out.iterdir()}
    assert lengths == pytest.approx(dict.fromkeys(kinds, 0.5), rel=0.1)


def test_row_09_channels(cli: Command, model: Path, tmp_path: Path) -> None:
    """Every channel is synthesised by itself; --mono mixes them; none is dropped."""
    files = {f"{n}.wav": encoded(voice(0.3, n)) for n in (2, 6)}
    out = resynthesised(cli, model, files, tmp_path)
    for channels in (2, 6):
        samples = read_audio(out / f"{channels}.wav").samples
        assert len(np.unique(samples, axis=0)) == channels
        assert np.abs(samples).max(axis=1).min() > 0.001
    cli.done("resynth", tmp_path / "in" / "6.wav", "-o", tmp_path / "m.wav", "-m", model, "--mono")
    assert soundfile.info(tmp_path / "m.wav").channels == 1


def test_row_10_rates(cli: Command, model: Path, tmp_path: Path) -> None:
    """8 to 192 kHz, co-prime ones among them: the length holds, time and memory stay small."""
    rates = (8_000, 11_025, 16_000, 22_051, 44_056, 44_100, 48_000, 96_000, 192_000)
    files = {f"{r}.wav": encoded(voice(0.3), rate_hz=r) for r in (22_050,)}
    small = cli.done("resynth", _one(tmp_path / "one", files), "-o", tmp_path / "a", "-m", model)
    files = {f"{r}.wav": encoded(voice(3.0), rate_hz=r) for r in rates}
    ended = cli.done(
        *("resynth", _one(tmp_path / "all", files), "-o", tmp_path / "b", "-m", model, "--json"),
        "--keep-rate",
    )
    for rate_hz in rates:
        info = soundfile.info(tmp_path / "b" / f"{rate_hz}.wav")
        assert (info.samplerate, info.frames) == (rate_hz, 3 * 22_050)
    assert ended.peak_bytes - small.peak_bytes < 300e6
    took = {event["source"]: event["elapsed_s"] for event in ended.events if "elapsed_s" in event}
    assert max(took.values()) < 2, took  # 22 050 / 8000 * 3 s of speech among them


def _one(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_row_11_impossible_rates(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit 3, and the rate that is claimed."""
    said = refused(cli, model, wav(TONE, rate_hz=1), tmp_path)
    assert "1 Hz" in said
    (tmp_path / "in.wav").unlink()
    rates = (2, 3_999, 384_001, 2**31 - 1, 2**32 - 1)
    each_refused(cli, model, {str(r): wav(TONE, rate_hz=r) for r in rates}, tmp_path)


def test_row_12_impossible_channels(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit 3, and the number that is claimed."""
    data = bytes(2 * 65_535 * 2)
    assert "1024" in refused(cli, model, wav(data, channels=1024), tmp_path)
    (tmp_path / "in.wav").unlink()
    counts = (0, 65, 65_535)
    each_refused(cli, model, {str(n): wav(data, channels=n) for n in counts}, tmp_path)


def test_row_13_claimed_lengths(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit 3, or with --repair what is there; memory stays that of a small file."""
    ended = each_refused(cli, model, claims(), tmp_path)
    repaired = cli(
        "resynth", tmp_path / "in", "-o", tmp_path / "r", "-m", model, "--repair", "--json"
    )
    assert set(repaired.failed.values()) <= {3}
    plain = tmp_path / "plain.wav"
    plain.write_bytes(encoded(voice()))
    usual = cli.done("resynth", plain, "-o", tmp_path / "o.wav", "-m", model)
    for run in (ended, repaired):
        assert run.peak_bytes - usual.peak_bytes < 300e6


def test_row_14_truncated(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit 3; with --repair a warning and what is there."""
    whole = encoded(voice(2.0))
    assert "truncated" in refused(cli, model, whole[: len(whole) // 2], tmp_path)
    path, out = tmp_path / "in.wav", tmp_path / "o.wav"
    ended = cli.done("resynth", path, "-o", out, "-m", model, "--repair")
    assert "warning:" in ended.err
    assert soundfile.info(out).frames == (len(whole) // 2 - 44) // 2
    for entry in (path, out):
        entry.unlink()
    codecs = {
        "mp3": encoded(voice(2.0), "MP3", "MPEG_LAYER_III"),
        "vorbis": encoded(voice(2.0), "OGG", "VORBIS"),
        "flac": encoded(voice(2.0), "FLAC"),
        "aiff": encoded(voice(2.0), "AIFF"),
    }
    each_refused(cli, model, {n: c[: int(0.6 * len(c))] for n, c in codecs.items()}, tmp_path)


def test_row_15_corrupt_codecs(cli: Command, model: Path, tmp_path: Path) -> None:
    """A single flipped bit in FLAC, Vorbis or Opus is exit 3."""
    kinds = {"flac": ("FLAC", "PCM_16"), "vorbis": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS")}
    files = {}
    for name, (container, subtype) in kinds.items():
        content = bytearray(encoded(voice(4.0), container, subtype, 24_000))
        content[int(0.6 * len(content))] ^= 16
        files[name] = bytes(content)
    refused(cli, model, files["flac"], tmp_path)
    (tmp_path / "in.wav").unlink()
    each_refused(cli, model, files, tmp_path)


def test_row_16_wrong_extension(cli: Command, model: Path, tmp_path: Path) -> None:
    """The content decides, not the name."""
    names = {"a.mp3": "FLAC", "b.flac": "WAV", "c.wav": "AIFF", "d.ogg": "CAF"}
    resynthesised(cli, model, {n: encoded(voice(), c) for n, c in names.items()}, tmp_path)


def test_row_17_not_audio(cli: Command, model: Path, tmp_path: Path) -> None:
    """HTML, text, noise and zeros under the name of a recording are exit 3, "not audio"."""
    assert "is not audio" in refused(cli, model, JUNK["HTML"], tmp_path)
    (tmp_path / "in.wav").unlink()
    ended = each_refused(cli, model, JUNK, tmp_path)
    assert ended.err.count("is not audio") >= 4


def test_row_18_exotic_containers(cli: Command, model: Path, tmp_path: Path) -> None:
    """What libsndfile would open, and no speech comes in, is exit 3."""
    kinds = ("MAT4", "MAT5", "PAF", "PVF", "IRCAM", "VOC", "NIST", "SVX", "SDS", "AVR", "XI")
    available = [k for k in kinds if k in soundfile.available_formats()]
    subtypes = {k: soundfile.default_subtype(k) for k in available}
    files = {k: encoded(voice(), k, subtypes[k]) for k in available if k != "XI"}
    assert len(files) > 6
    ended = each_refused(cli, model, files, tmp_path)
    assert ended.err.count("is not audio") >= len(files)


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
    ended = cli("resynth", source, "-o", tmp_path / "out", "-m", model, "--json", timeout_s=60)
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


def test_row_22_odd_names(cli: Command, model: Path, tmp_path: Path) -> None:
    """Any name is a name: in a folder, alone, and in JSON."""
    source = tmp_path / "in"
    source.mkdir()
    for name in ODD_NAMES:
        (source / os.fsdecode(name)).write_bytes(encoded(voice(0.1)))
    ended = cli.done("resynth", source, "-o", tmp_path / "out", "-m", model, "--json")
    assert ended.told("summary")["made"] == len(ODD_NAMES)
    made = {os.fsencode(path.name) for path in (tmp_path / "out").iterdir()}
    assert made == set(ODD_NAMES)
    said = cli.refused(2, "resynth", b"-o.wav", "-o", "out.wav", "-m", model, cwd=source)
    assert "the file is ./-o.wav" in said
    for name in (b"-o.wav", b"invalid \xff utf-8.wav"):
        cli.done("resynth", "-o", "out.wav", "-f", "-m", model, "--", name, cwd=source)
