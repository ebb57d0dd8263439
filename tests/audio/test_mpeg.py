"""MP3 is read to its last frame, whatever count its first frame states."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.audio.reading import audio_length_s, read_audio
from hifigan_cli.errors import DamagedError, InputError
from tests.audio.sounds import encode, voice

RATES = [(22_050, 1), (44_100, 2), (48_000, 1), (8_000, 1)]
ID3V2 = b"ID3\x04\x00\x00\x00\x00\x02\x0a" + bytes(2 * 128 + 10)
ID3V1 = b"TAG" + b"x" * 125


def mp3(sample_rate: int, channels: int, length_s: float = 3.0, seed: int = 0) -> bytes:
    """Encode speech with libsndfile, whose first frame states the number of frames."""
    return encode(voice(length_s, channels, seed), "MP3", "MPEG_LAYER_III", sample_rate)


def without_count(content: bytes) -> bytes:
    """Remove the first frame. The second begins with the same header."""
    mark = content.index(b"LAME")
    return content[content.index(content[:2], mark) :]


@pytest.mark.parametrize(("sample_rate", "channels"), RATES)
@pytest.mark.parametrize("tags", [(b"", b""), (ID3V2, ID3V1)], ids=["untagged", "tagged"])
def test_mp3_without_count_is_read_completely(
    sample_rate: int, channels: int, tags: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """libsndfile would estimate the length from the bit rate and stop there.

    Only the removed frame states the encoder's delay and padding, so they remain.
    """
    complete = mp3(sample_rate, channels)
    path = tmp_path / "a.mp3"
    path.write_bytes(tags[0] + without_count(complete) + tags[1])
    expected, audio = read_audio(complete).samples, read_audio(path)
    extra = audio.samples.shape[1] - expected.shape[1]
    assert 0 <= extra < 4 * 1152
    assert audio.notes == ()
    assert audio_length_s(path) == audio.length_s
    end = [
        np.corrcoef(audio.samples[0, n : n + expected.shape[1]][-9000:], expected[0, -9000:])[0, 1]
        for n in range(extra + 1)
    ]
    assert max(end) > 0.99


@pytest.mark.parametrize(("sample_rate", "channels"), RATES)
def test_two_joined_mp3_are_both_read(sample_rate: int, channels: int) -> None:
    """The count in the first file does not include the second."""
    first, second = mp3(sample_rate, channels, 2.0), mp3(sample_rate, channels, 3.0, seed=5)
    lengths = [read_audio(mp3_file).samples.shape[1] for mp3_file in (first, second)]
    for between in (b"", ID3V1 + ID3V2):
        joined = read_audio(first + between + second)
        assert 0 <= joined.samples.shape[1] - sum(lengths) < 8 * 1152
        assert joined.notes == ()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_mp3_without_count_is_rejected(share: float) -> None:
    """Row 14, where only the last, incomplete frame shows it; `repair` reads the rest."""
    complete = without_count(mp3(22_050, 1))
    truncated = complete[: int(len(complete) * share)]
    with pytest.raises(DamagedError, match=r"byte \d+"):
        read_audio(truncated)
    repaired = read_audio(truncated, repair=True)
    assert re.search(r"byte \d+", repaired.notes[0])


def test_joined_mp3_with_truncated_second_is_rejected() -> None:
    """The sum of both counts reveals a cut between two frames."""
    first, second = mp3(22_050, 1), mp3(22_050, 1, seed=5)
    frame = second.rindex(b"\xff\xf3")
    frame = second.rindex(b"\xff\xf3", 0, second.rindex(b"\xff\xf3", 0, frame))
    with pytest.raises(InputError, match=r"\d of its frames"):
        read_audio(first + second[:frame])


def test_joined_mp3_of_two_rates_is_rejected() -> None:
    """A second sample rate would be read at the wrong pitch, or lost."""
    with pytest.raises(DamagedError, match=r"byte \d+"):
        read_audio(without_count(mp3(22_050, 1)) + mp3(16_000, 1))
