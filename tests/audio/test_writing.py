"""Files are written with the right scale, clipping and format, and never partially."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.formats.containers import WRITABLE
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.writing import audio_writer, to_int16, wav_header, write_audio
from hifigan_cli.errors import InputError, OutputError, UsageError
from tests.audio.sounds import NAMES, voice
from tests.helpers import ROOT

ONES = np.ones((1, 100), np.float32)


def pcm_values(path: Path) -> list[int]:
    return [int(value) for value in soundfile.read(path, dtype="int16")[0]]


def test_full_scale_does_not_wrap(tmp_path: Path) -> None:
    """1.0 times 32 768 would wrap to -32 768, a full-scale click."""
    path = tmp_path / "a.wav"
    write_audio(path, np.array([-1.0, -0.5, 0.0, 0.5, 1.0], np.float32), 22_050)
    assert pcm_values(path) == [-32_767, -16_384, 0, 16_384, 32_767]


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=50))
def test_int16_error_is_half_a_step(values: list[float]) -> None:
    """This covers rounding and clipping of any sample."""
    samples = np.array(values, np.float32)
    decoded = to_int16(samples) / 32_767
    assert np.abs(decoded - np.clip(samples, -1, 1)).max() <= 0.5 / 32_767 + 1e-7


def test_clipped_samples_are_counted_and_do_not_wrap(tmp_path: Path) -> None:
    """Samples beyond full scale are clipped, and their number is returned."""
    path = tmp_path / "a.wav"
    assert write_audio(path, np.array([0.5, 1.5, -7.0, 1.0], np.float32), 22_050) == 2
    assert pcm_values(path)[1:] == [32_767, -32_767, 32_767]


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_extension_selects_the_format(tmp_path: Path, suffix: str) -> None:
    """Container, rate, channels and signal are right in every supported format."""
    original = voice(1.0, channels=2)
    sample_rate = 24_000 if suffix == ".opus" else 22_050
    path = tmp_path / f"out{suffix.upper()}"
    assert write_audio(path, original, sample_rate) == 0
    info = soundfile.info(path)
    assert (info.format, info.subtype) == WRITABLE[suffix]
    audio = read_audio(path)
    assert (audio.sample_rate, audio.samples.shape) == (sample_rate, original.shape)
    if info.subtype == "PCM_16":
        assert np.abs(audio.samples - original).max() < 1.1 / 32_768
    else:
        assert np.corrcoef(audio.samples[0], original[0])[0, 1] > 0.8


@pytest.mark.parametrize("suffix", [".wav", ".flac"])  # in Vorbis, windows depend on the blocks
def test_writing_in_blocks_equals_writing_at_once(tmp_path: Path, suffix: str) -> None:
    """The borders of blocks do not change the file."""
    samples = voice(2.0)
    at_once, in_blocks = tmp_path / f"at_once{suffix}", tmp_path / f"in_blocks{suffix}"
    write_audio(at_once, samples, 22_050)
    with audio_writer(in_blocks, 22_050, 1) as writer:
        for start in range(0, samples.shape[1], 7777):
            writer.write(samples[:, start : start + 7777])
    np.testing.assert_array_equal(read_audio(in_blocks).samples, read_audio(at_once).samples)


def test_minutes_of_vorbis_do_not_crash(tmp_path: Path) -> None:
    """libsndfile's Vorbis encoder would put all samples of one write on the stack, and crash."""
    script = (
        "import sys, numpy as np; from hifigan_cli.audio.writing import write_audio\n"
        "write_audio(sys.argv[1], np.zeros((1, 8_000 * 60 * 10), np.float32), 8_000)"
    )
    path = tmp_path / "long.ogg"
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=True)
    assert soundfile.info(path).frames == 8_000 * 60 * 10


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_samples_are_not_written(tmp_path: Path, bad: float) -> None:
    """In 16-bit PCM, NaN would become a full-scale click."""
    path = tmp_path / "a.wav"
    samples = voice()
    samples[0, 7] = bad
    with pytest.raises(InputError):
        write_audio(path, samples, 22_050)
    assert list(tmp_path.iterdir()) == []


def test_failure_preserves_the_old_file(tmp_path: Path) -> None:
    """After an error in the block, the file has its old bytes."""
    path = tmp_path / "a.wav"
    write_audio(path, ONES, 22_050)
    before = path.read_bytes()

    def fail_while_writing() -> None:
        with audio_writer(path, 22_050, 1) as writer:
            writer.write(voice(2.0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_while_writing()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    """Programs that read the output folder must not see a partial file."""
    path = tmp_path / "a.wav"
    with audio_writer(path, 22_050, 1) as writer:
        writer.write(ONES)
        assert not path.exists()
    assert path.exists()


def test_full_disk_is_an_output_error(tmp_path: Path) -> None:
    """Row 26: there is no traceback of the C callback, and the temporary file is removed."""
    script = (
        "import resource, sys, numpy as np\n"
        "from hifigan_cli.audio.writing import write_audio\n"
        "from hifigan_cli.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "noise = np.random.default_rng(0).uniform(-0.5, 0.5, 200_000)\n"
        "for name in sys.argv[1:]:\n"
        "    try: write_audio(name, noise.astype(np.float32), 22_050)\n"
        "    except OutputError as error: print(error.message)"
    )
    names = ["a.wav", "a.flac", "a.ogg", "a.mp3"]
    run = subprocess.run(
        [sys.executable, "-c", script, *(str(tmp_path / name) for name in names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.count("File too large") == len(names)
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "hint"), [("a.wv", ".wav"), ("a.m4a", ".wav"), ("a", ".flac"), ("a.", ".flac")]
)
def test_unknown_extensions_are_rejected(tmp_path: Path, name: str, hint: str) -> None:
    """The format is never guessed."""
    with pytest.raises(UsageError) as error:
        write_audio(tmp_path / name, ONES, 22_050)
    assert hint in (error.value.hint or "")


def test_unsupported_rate_or_channels_is_a_usage_error(tmp_path: Path) -> None:
    """Opus does not support 22 050 Hz, and MP3 does not support six channels."""
    with pytest.raises(UsageError, match=r"OPUS.* 1 channels .*22050 Hz"):
        write_audio(tmp_path / "a.opus", ONES, 22_050)
    with pytest.raises(UsageError, match="6 channels"):
        write_audio(tmp_path / "a.mp3", np.ones((6, 100), np.float32), 22_050)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_path_is_an_output_error(tmp_path: Path) -> None:
    """The folder is a file, the name is too long, or the folder is read-only."""
    (tmp_path / "file").touch()
    paths = [tmp_path / "file" / "a.wav", tmp_path / f"{'é' * 130}.wav"]
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        paths.append(tmp_path / "locked" / "a.wav")
    for target in paths:
        with pytest.raises(OutputError, match=re.escape(str(tmp_path))):
            write_audio(target, ONES, 22_050)


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_can_be_written(tmp_path: Path, name: str) -> None:
    """Row 22, including the longest name that a file system allows."""
    write_audio(tmp_path / name, ONES, 22_050)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("channels", [1, 2])
def test_header_for_a_pipe_equals_that_of_a_file(tmp_path: Path, channels: int) -> None:
    """With `-o -` and a known length, the bytes equal those of a file."""
    samples = voice(0.5, channels=channels)
    write_audio(tmp_path / "a.wav", samples, 16_000)
    content = wav_header(16_000, channels, samples.shape[1]) + to_int16(samples).T.tobytes()
    assert content == (tmp_path / "a.wav").read_bytes()


def test_header_without_length_is_read() -> None:
    """If the header cannot state the length, all samples are read."""
    samples = voice(0.5)
    audio = read_audio(wav_header(16_000, 1, None) + to_int16(samples).T.tobytes())
    assert audio.samples.shape == samples.shape
    assert len(wav_header(48_000, 2, 2**40)) == 44
