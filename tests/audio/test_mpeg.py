"""MP3 is read to its last frame, whatever its first frame says or does not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.audio.reading import audio_length_s, read_audio
from hifigan_cli.errors import DamagedError, InputError
from tests.audio.sounds import encoded, voice

RATES = [(22_050, 1), (44_100, 2), (48_000, 1), (8_000, 1)]
ID3V2 = b"ID3\x04\x00\x00\x00\x00\x02\x0a" + bytes(2 * 128 + 10)
ID3V1 = b"TAG" + b"x" * 125


def mp3(sample_rate: int, channels: int, length_s: float = 3.0, seed: int = 0) -> bytes:
    """Encode speech with libsndfile, whose first frame announces the others."""
    return encoded(voice(length_s, channels, seed), "MP3", "MPEG_LAYER_III", sample_rate)


def uncounted(content: bytes) -> bytes:
    """Drop the first frame: up to the second one, whose header begins as the first does."""
    mark = content.index(b"LAME")
    return content[content.index(content[:2], mark) :]


@pytest.mark.parametrize(("sample_rate", "channels"), RATES)
@pytest.mark.parametrize("tags", [(b"", b""), (ID3V2, ID3V1)], ids=["bare", "tagged"])
def test_mp3_without_a_count_is_whole(
    sample_rate: int, channels: int, tags: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Guard the last frames: libsndfile estimates the length from the bit rate and stops there.

    The encoder's delay is told by the dropped frame only, so it stays, as padding does.
    """
    whole = mp3(sample_rate, channels)
    path = tmp_path / "a.mp3"
    path.write_bytes(tags[0] + uncounted(whole) + tags[1])
    expected, audio = read_audio(whole).samples, read_audio(path)
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
def test_two_mp3_in_a_row_are_both_read(sample_rate: int, channels: int) -> None:
    """Guard files put together: the first one's count is not that of both."""
    first, second = mp3(sample_rate, channels, 2.0), mp3(sample_rate, channels, 3.0, seed=5)
    lengths = [read_audio(one).samples.shape[1] for one in (first, second)]
    for between in (b"", ID3V1 + ID3V2):
        both = read_audio(first + between + second)
        assert 0 <= both.samples.shape[1] - sum(lengths) < 8 * 1152
        assert both.notes == ()


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_cut_mp3_without_a_count_is_noticed(kept: float) -> None:
    """Guard row 14 where nothing but the last, broken, frame tells; `repair` takes the rest."""
    whole = uncounted(mp3(22_050, 1))
    cut = whole[: int(len(whole) * kept)]
    with pytest.raises(DamagedError, match="no whole MPEG frame begins at byte"):
        read_audio(cut)
    repaired = read_audio(cut, repair=True)
    assert "truncated" in repaired.notes[0]


def test_two_mp3_of_which_the_second_is_cut_are_refused() -> None:
    """Guard the sum of what was announced, where the cut falls between two frames."""
    first, second = mp3(22_050, 1), mp3(22_050, 1, seed=5)
    frame = second.rindex(b"\xff\xf3")
    frame = second.rindex(b"\xff\xf3", 0, second.rindex(b"\xff\xf3", 0, frame))
    with pytest.raises(InputError, match="truncated"):
        read_audio(first + second[:frame])


def test_mp3_of_two_rates_in_a_row_is_refused() -> None:
    """Guard a change of rate, which would be read at the wrong pitch or lost."""
    with pytest.raises(DamagedError, match="no whole MPEG frame"):
        read_audio(uncounted(mp3(22_050, 1)) + mp3(16_000, 1))
