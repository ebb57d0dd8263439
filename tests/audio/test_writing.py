"""What is written is what was meant: scale, clipping, formats; and never half a file."""

from __future__ import annotations

import os
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


def codes(path: Path) -> list[int]:
    return [int(code) for code in soundfile.read(path, dtype="int16")[0]]


def test_full_scale_does_not_wrap(tmp_path: Path) -> None:
    """Guard mistake 7: 1.0 times 32 768 would become -32 768, the loudest click there is."""
    path = tmp_path / "a.wav"
    write_audio(path, np.array([-1.0, -0.5, 0.0, 0.5, 1.0], np.float32), 22_050)
    assert codes(path) == [-32_767, -16_384, 0, 16_384, 32_767]


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=50))
def test_codes_keep_the_sign_and_the_step(values: list[float]) -> None:
    """Guard rounding and clipping for any sample."""
    samples = np.array(values, np.float32)
    back = to_int16(samples) / 32_767
    assert np.abs(back - np.clip(samples, -1, 1)).max() <= 0.5 / 32_767 + 1e-7


def test_clipping_is_counted_and_not_wrapped(tmp_path: Path) -> None:
    """Guard that what exceeds full scale is held there, and the caller told of how much."""
    path = tmp_path / "a.wav"
    assert write_audio(path, np.array([0.5, 1.5, -7.0, 1.0], np.float32), 22_050) == 2
    assert codes(path)[1:] == [32_767, -32_767, 32_767]


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_the_extension_names_the_format(tmp_path: Path, suffix: str) -> None:
    """Guard every format that is offered: its container, rate, channels and sound."""
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


@pytest.mark.parametrize("suffix", [".wav", ".flac"])  # Vorbis chooses its windows by the blocks
def test_blocks_equal_the_whole(tmp_path: Path, suffix: str) -> None:
    """Guard streaming output: where the blocks end leaves no trace."""
    samples = voice(2.0)
    whole, pieces = tmp_path / f"whole{suffix}", tmp_path / f"pieces{suffix}"
    write_audio(whole, samples, 22_050)
    with audio_writer(pieces, 22_050, 1) as writer:
        for start in range(0, samples.shape[1], 7777):
            writer.write(samples[:, start : start + 7777])
    np.testing.assert_array_equal(read_audio(pieces).samples, read_audio(whole).samples)


def test_minutes_of_vorbis_do_not_crash(tmp_path: Path) -> None:
    """Guard a crash of libsndfile, whose Vorbis encoder puts all of one write on the stack."""
    script = (
        "import sys, numpy as np; from hifigan_cli.audio.writing import write_audio\n"
        "write_audio(sys.argv[1], np.zeros((1, 8_000 * 60 * 10), np.float32), 8_000)"
    )
    path = tmp_path / "long.ogg"
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=True)
    assert soundfile.info(path).frames == 8_000 * 60 * 10


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers_are_not_written(tmp_path: Path, bad: float) -> None:
    """Guard against NaN, which 16-bit PCM turns into a full-scale click."""
    path = tmp_path / "a.wav"
    samples = voice()
    samples[0, 7] = bad
    with pytest.raises(InputError, match="not numbers"):
        write_audio(path, samples, 22_050)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """Guard atomicity: after an error within the block, the name holds its old bytes."""
    path = tmp_path / "a.wav"
    write_audio(path, ONES, 22_050)
    before = path.read_bytes()

    def stop_half_way() -> None:
        with audio_writer(path, 22_050, 1) as writer:
            writer.write(voice(2.0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_the_name_appears_only_when_whole(tmp_path: Path) -> None:
    """Guard readers of the output folder: no file of that name exists before its end."""
    path = tmp_path / "a.wav"
    with audio_writer(path, 22_050, 1) as writer:
        writer.write(ONES)
        assert not path.exists()
    assert path.exists()


def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    """Guard row 26: exit code 4, no traceback of the C callback, the temporary removed."""
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
def test_unknown_extensions_are_refused(tmp_path: Path, name: str, hint: str) -> None:
    """Guard the choice of format: never a guess."""
    with pytest.raises(UsageError) as caught:
        write_audio(tmp_path / name, ONES, 22_050)
    assert hint in (caught.value.hint or "")


def test_what_a_codec_cannot_hold_is_a_usage_error(tmp_path: Path) -> None:
    """Guard rates and channels that a codec lacks: Opus at 22 050 Hz, MP3 with six channels."""
    with pytest.raises(UsageError, match="OPUS cannot hold 1 channels at 22050 Hz"):
        write_audio(tmp_path / "a.opus", ONES, 22_050)
    with pytest.raises(UsageError, match="6 channels"):
        write_audio(tmp_path / "a.mp3", np.ones((6, 100), np.float32), 22_050)
    assert list(tmp_path.iterdir()) == []


def test_an_impossible_place_is_an_output_error(tmp_path: Path) -> None:
    """Guard folders that are files, names too long, and a read-only folder."""
    (tmp_path / "file").touch()
    places = [tmp_path / "file" / "a.wav", tmp_path / f"{'é' * 130}.wav"]
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        places.append(tmp_path / "locked" / "a.wav")
    for place in places:
        with pytest.raises(OutputError, match="cannot"):
            write_audio(place, ONES, 22_050)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_written(tmp_path: Path, name: str) -> None:
    """Guard row 22, with the longest name that a file system takes."""
    write_audio(tmp_path / name, ONES, 22_050)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_header_for_a_pipe_is_that_of_a_file(tmp_path: Path, channels: int) -> None:
    """Guard `-o -`: with its length known, byte for byte the file that would be written."""
    sound = voice(0.5, channels=channels)
    write_audio(tmp_path / "a.wav", sound, 16_000)
    content = wav_header(16_000, channels, sound.shape[1]) + to_int16(sound).T.tobytes()
    assert content == (tmp_path / "a.wav").read_bytes()


def test_a_header_without_a_length_is_read() -> None:
    """Guard streams: where the header cannot say how much follows, all of it is read."""
    sound = voice(0.5)
    audio = read_audio(wav_header(16_000, 1, None) + to_int16(sound).T.tobytes())
    assert audio.samples.shape == sound.shape
    assert len(wav_header(48_000, 2, 2**40)) == 44
