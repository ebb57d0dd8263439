"""Every format is read at its full precision and length."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio.reading import audio_length_s, read_audio
from hifigan_cli.errors import EmptyError, InputError, NotAudioError
from tests.audio.sounds import NAMES, encode, streamed_flac, voice, wav

# The maximum error of each sample format, at full scale.
MAX_ERRORS = {
    "PCM_U8": 1 / 128,
    "PCM_S8": 1 / 128,
    "PCM_16": 1 / 32_768,
    "PCM_24": 1 / 2**23,
    "PCM_32": 1 / 2**24,  # the resolution of float32
    "FLOAT": 0,
    "DOUBLE": 0,
    "ULAW": 1 / 32,
    "ALAW": 1 / 32,
    "IMA_ADPCM": 0.2,
    "MS_ADPCM": 0.2,
}
FORMATS = [
    *(("WAV", s) for s in MAX_ERRORS if s != "PCM_S8"),
    *(("WAVEX", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT")),
    *(("RF64", s) for s in ("PCM_16", "PCM_24", "FLOAT")),
    *(("W64", s) for s in ("PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM")),
    *(("AIFF", s) for s in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "IMA_ADPCM")),
    *(("AU", s) for s in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "ALAW")),
    *(("CAF", s) for s in ("PCM_S8", "PCM_16", "PCM_24", "FLOAT", "ULAW")),
    *(("FLAC", s) for s in ("PCM_S8", "PCM_16", "PCM_24")),
]


@pytest.mark.parametrize(("container", "subtype"), FORMATS, ids=lambda value: str(value))
def test_samples_are_read_precisely(container: str, subtype: str) -> None:
    """Rows 7 and 8: scale, sign, order and length are right in every sample format."""
    original = voice(0.3, seed=2)
    audio = read_audio(encode(original, container, subtype))
    assert audio.sample_rate == 22_050
    assert audio.subtype == subtype
    assert audio.samples.dtype == np.float32
    read = audio.samples[:, : original.shape[1]]  # ADPCM pads its last block
    assert np.abs(read - original).max() <= MAX_ERRORS[subtype]
    assert audio.samples.shape[1] - original.shape[1] < 1100
    assert audio.notes == ()


@pytest.mark.parametrize(
    ("container", "subtype", "sample_rate"),
    [("OGG", "VORBIS", 22_050), ("OGG", "OPUS", 24_000), ("MP3", "MPEG_LAYER_III", 22_050)],
)
def test_lossy_codecs_preserve_length_and_signal(
    container: str, subtype: str, sample_rate: int
) -> None:
    """Row 8 for codecs: the length is the same, and the signal is not delayed."""
    original = voice(1.0)
    audio = read_audio(encode(original, container, subtype, sample_rate))
    assert (audio.sample_rate, audio.subtype) == (sample_rate, subtype)
    assert audio.samples.shape == original.shape
    assert np.corrcoef(audio.samples[0], original[0])[0, 1] > 0.8


def test_int16_is_divided_by_32768() -> None:
    """In the mel convention, -32 768 is -1, and 32 767 is just below 1."""
    codes = np.array([-32_768, -1, 0, 1, 32_767], "<i2")
    read = read_audio(wav(codes.tobytes())).samples[0]
    np.testing.assert_array_equal(read, (codes / 32_768).astype(np.float32))


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_stay_separate(channels: int) -> None:
    """Row 9: no channel is dropped or mixed, and `mono` is their mean."""
    original = voice(0.2, channels)
    audio = read_audio(encode(original, subtype="FLOAT"))
    np.testing.assert_array_equal(audio.samples, original)
    assert audio.channels == channels
    mixed = audio.mono()
    assert mixed.channels == 1
    np.testing.assert_allclose(mixed.samples[0], original.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".txt", ""])
def test_extension_is_ignored(tmp_path: Path, suffix: str) -> None:
    """Row 16: the content decides."""
    path = tmp_path / f"voice{suffix}"
    path.write_bytes(encode(voice(), "FLAC"))
    assert read_audio(path).subtype == "PCM_16"
    path.write_bytes(encode(voice(), "WAV"))
    assert read_audio(path).length_s == pytest.approx(0.5)


def test_bytes_and_file_are_read_equally(tmp_path: Path) -> None:
    """Bytes from standard input have the same result as a file, and are named in errors."""
    content = encode(voice())
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(content).samples, read_audio(path).samples)
    with pytest.raises(EmptyError, match="standard input"):
        read_audio(b"")


@pytest.mark.parametrize("name", [*NAMES, "[bold]rich.wav", b"invalid \xff utf-8.wav"])
def test_any_file_name_can_be_read(tmp_path: Path, name: str | bytes) -> None:
    """Row 22: names are not interpreted."""
    path = tmp_path / (name if isinstance(name, str) else name.decode(errors="surrogateescape"))
    path.write_bytes(encode(voice()))
    assert read_audio(path).channels == 1
    path.write_bytes(b"no audio")
    with pytest.raises(NotAudioError, match=re.escape(str(path))):
        read_audio(path)


def test_long_files_are_read_in_blocks() -> None:
    """No sample is lost or repeated between blocks."""
    codes = np.random.default_rng(0).integers(-30_000, 30_000, (1 << 20) + 12_345, np.int16)
    read = read_audio(wav(codes.tobytes())).samples[0]
    np.testing.assert_array_equal(read, codes / np.float32(32_768))


@pytest.mark.parametrize(("channels", "length_s"), [(1, 0.5), (2, 3.0)])
def test_streamed_flac_is_read_completely(tmp_path: Path, channels: int, length_s: float) -> None:
    """FLAC from a pipe states no length in its header, and libsndfile cannot seek in it."""
    original = voice(length_s, channels)
    path = tmp_path / "piped.flac"
    path.write_bytes(streamed_flac(original))
    audio = read_audio(path)
    np.testing.assert_array_equal(audio.samples, read_audio(encode(original, "FLAC")).samples)
    assert audio.notes == ()
    assert audio_length_s(path) == audio.length_s == pytest.approx(length_s)


def test_audio_length_rejects_bad_files(tmp_path: Path) -> None:
    """Neither an invalid sample rate nor a file that is not audio has a length."""
    path = tmp_path / "a.wav"
    for content in (wav(bytes(800), sample_rate=1), b"no audio"):
        path.write_bytes(content)
        with pytest.raises(InputError):
            audio_length_s(path)


def test_real_clip_is_read(ljspeech_clips: list[Path]) -> None:
    """The samples equal those of soundfile."""
    expected, sample_rate = soundfile.read(ljspeech_clips[0], dtype="float32")
    audio = read_audio(ljspeech_clips[0])
    assert audio.sample_rate == sample_rate
    np.testing.assert_array_equal(audio.samples[0], expected)
