"""What is not whole, sound audio is refused with a reason; rows are those of the fault matrix.

Each must end as an `InputError` of one line: no hang, no gigabytes, no other exception.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular
from tests.audio.sounds import encoded, voice, wav
from tests.helpers import ROOT

TONE = (np.sin(np.arange(4000) / 10) * 10_000).astype("<i2").tobytes()


def refusal(source: Path | bytes) -> str:
    """Read what must be refused; return message and hint."""
    with pytest.raises(InputError) as caught:
        read_audio(source)
    assert caught.value.exit_code == 3
    return f"{caught.value.message} | {caught.value.hint or ''}"


def test_an_empty_file_is_named_so(tmp_path: Path) -> None:
    """Guard row 1."""
    path = tmp_path / "nothing.wav"
    path.touch()
    assert "nothing.wav is empty (0 bytes)" in refusal(path)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "FLAC", "W64", "RF64", "CAF"])
def test_a_header_without_samples_is_empty(container: str) -> None:
    """Guard row 2."""
    message = refusal(encoded(np.zeros((1, 0), np.float32), container))
    assert "empty" in message or "cannot be decoded" in message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("channel", "index"), [(0, 0), (1, 4321)])
def test_samples_that_are_not_numbers_are_located(bad: float, channel: int, index: int) -> None:
    """Guard row 4: refused with the first place; `repair` puts silence there and says so."""
    samples = voice(channels=2)
    samples[channel, index] = samples[1, 9999] = bad
    content = encoded(samples, subtype="FLOAT")
    message = refusal(content)
    assert f"the first at sample {index} of channel {channel}" in message
    assert "2 samples that are not numbers" in message
    repaired = read_audio(content, repair=True)
    assert np.isfinite(repaired.samples).all()
    assert repaired.samples[channel, index] == 0
    assert "replaced by silence" in repaired.notes[0]


def test_levels_beyond_full_scale_are_scaled_and_said() -> None:
    """Guard row 5: a float file of wrong level is scaled; an absurd one is no audio."""
    samples = voice()
    loud = read_audio(encoded(4 * samples, subtype="FLOAT"))
    assert np.abs(loud.samples).max() == pytest.approx(1)
    np.testing.assert_allclose(loud.samples, 2 * samples, atol=1e-6)
    assert "exceeds full scale 2 times" in loud.notes[0]
    assert "this is not audio" in refusal(encoded(3e4 * samples, subtype="FLOAT"))


@pytest.mark.parametrize("rate_hz", [0, 1, 3999, 384_001, 2**31 - 1, 2**32 - 1])
def test_impossible_rates_are_refused(rate_hz: int) -> None:
    """Guard row 11."""
    refusal(wav(TONE, rate_hz=rate_hz))
    assert read_audio(wav(TONE, rate_hz=4000)).rate_hz == 4000
    assert read_audio(wav(TONE, rate_hz=384_000)).rate_hz == 384_000


@pytest.mark.parametrize("channels", [0, 65, 1024, 65_535])
def test_impossible_channels_are_refused(channels: int) -> None:
    """Guard row 12."""
    refusal(wav(bytes(2 * 65_535 * 2), channels=channels))
    assert read_audio(wav(bytes(64 * 20), channels=64)).channels == 64


def claims() -> dict[str, bytes]:
    """Make files whose headers claim far more than they hold."""
    rf64 = bytearray(encoded(voice(), "RF64"))
    at = rf64.index(b"ds64") + 16
    rf64[at : at + 16] = struct.pack("<QQ", 2**61, 2**60)
    w64 = bytearray(encoded(voice(), "W64"))
    at = w64.index(b"data\xf3\xac") + 16
    w64[at : at + 8] = struct.pack("<Q", 2**37)
    au = bytearray(encoded(voice(), "AU"))
    au[8:12] = struct.pack(">I", 2**32 - 2**20)
    flac = bytearray(encoded(voice(), "FLAC"))
    flac[21] |= 0x0F  # the upper bits of the number of samples: 2^36 in all
    flac[22:26] = b"\xff" * 4
    return {
        "WAV": wav(TONE, claimed=2**32 - 2**20),
        "RF64": bytes(rf64),
        "W64": bytes(w64),
        "AU": bytes(au),
        "FLAC": bytes(flac),
    }


@pytest.mark.parametrize("container", claims())
def test_claimed_lengths_are_refused(container: str) -> None:
    """Guard row 13: refused, or with `repair` no more than what is there."""
    refusal(claims()[container])
    with suppress(InputError):
        assert read_audio(claims()[container], repair=True).length_s < 1


def test_claimed_lengths_cost_no_memory(tmp_path: Path) -> None:
    """Guard row 13: less than 300 MB above the import, whatever the header says."""
    script = (
        "import resource, sys\n"
        "from hifigan_cli.audio.reading import read_audio\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = used()\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_audio(path, repair=True)\n"
        "    except Exception: pass\n"
        "print(used() - before)"
    )
    paths = []
    for container, content in claims().items():
        paths.append(tmp_path / container)
        paths[-1].write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)], cwd=ROOT, capture_output=True, check=True
    )
    assert int(run.stdout) < 300


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_cut_file_is_noticed(container: str, kept: float) -> None:
    """Guard row 14: decoders say nothing of missing samples; `repair` takes what is there."""
    whole = encoded(voice(2.0), container)
    cut = whole[: int(len(whole) * kept)]
    message = refusal(cut)
    assert f"truncated: {len(whole) - len(cut)} bytes" in message or container == "CAF"
    assert "--repair" in message
    if container == "WAV":
        repaired = read_audio(cut, repair=True)
        assert repaired.samples.shape[1] == (len(cut) - 44) // 2
        assert "truncated" in repaired.notes[0]


@pytest.mark.parametrize(
    ("container", "subtype", "rate_hz"),
    [
        ("MP3", "MPEG_LAYER_III", 22_050),
        ("OGG", "VORBIS", 22_050),
        ("OGG", "OPUS", 24_000),
        ("FLAC", "PCM_16", 22_050),
    ],
)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_cut_compressed_file_is_noticed(
    container: str, subtype: str, rate_hz: int, kept: float
) -> None:
    """Guard row 14 for codecs, whose decoders end silently at the last whole piece."""
    whole = encoded(voice(3.0), container, subtype, rate_hz)
    refusal(whole[: int(len(whole) * kept)])


@pytest.mark.parametrize(
    "claimed", [0x7FFFF000, 0x7FFFEFFE, 0x7FFFFFFF, 0x80000000, 2**32 - 1], ids=hex
)
def test_a_stream_of_unknown_length_is_whole(claimed: int) -> None:
    """Guard WAV from a pipe, whose writer (espeak-ng, sox) could not go back to say the length."""
    audio = read_audio(wav(TONE, claimed=claimed))
    assert audio.samples.shape == (1, 4000)
    assert audio.notes == ()


@pytest.mark.parametrize("claimed", [2**62, 2**63 - 1, 2**64 - 1], ids=hex)
def test_a_wide_stream_of_unknown_length_is_whole(claimed: int) -> None:
    """Guard W64 from a pipe: its length has 64 bits, and ffmpeg leaves the sign out."""
    content = bytearray(encoded(voice(), "W64"))
    at = content.index(b"data\xf3\xac") + 16
    content[at : at + 8] = struct.pack("<Q", claimed)
    np.testing.assert_array_equal(
        read_audio(bytes(content)).samples, read_audio(encoded(voice())).samples
    )


@cache
def many_pages(subtype: str) -> bytes:
    """Encode 12 s, so that a lost page is one of many and the decoder says nothing."""
    container = "FLAC" if subtype == "PCM_16" else "OGG"
    return encoded(voice(12.0), container, subtype, 24_000)


@pytest.mark.parametrize("subtype", ["PCM_16", "VORBIS", "OPUS"])
@given(place=st.floats(0.1, 0.95), bit=st.integers(0, 7))
def test_one_flipped_bit_in_flac_or_ogg_is_noticed(subtype: str, place: float, bit: int) -> None:
    """Guard row 15: both formats carry checksums; libsndfile ignores those of Ogg."""
    content = bytearray(many_pages(subtype))
    content[int(len(content) * place)] ^= 1 << bit
    refusal(bytes(content))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_in_a_row_are_noticed(subtype: str) -> None:
    """Guard two files put together: the decoder gives the first and says nothing of the rest."""
    first, second = (
        encoded(voice(s, seed=seed), "OGG", subtype, 24_000) for s, seed in ((1, 0), (2, 3))
    )
    assert "several streams one after another" in refusal(first + second)
    repaired = read_audio(first + second, repair=True)
    np.testing.assert_array_equal(repaired.samples, read_audio(first).samples)
    assert "only the first is read" in repaired.notes[0]


JUNK = {
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>" * 10,
    "text": b"These are words.\n" * 100,
    "random": np.random.default_rng(7).bytes(20_000),
    "zeros": bytes(20_000),
    "one byte": b"R",
    "RIFF of video": b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(1000),
    "WAVE of zeros": b"RIFF\x00\x10\x00\x00WAVE" + bytes(100_000),
    "MP3 sync and noise": b"\xff\xfb\x90\x64" + np.random.default_rng(8).bytes(3000),
    "Ogg magic alone": b"OggS",
    "FLAC magic alone": b"fLaC" + bytes(100),
}


@pytest.mark.parametrize("kind", JUNK)
def test_what_is_not_audio_is_refused(kind: str, tmp_path: Path) -> None:
    """Guard row 17."""
    path = tmp_path / "junk.wav"
    path.write_bytes(JUNK[kind])
    refusal(path)


@pytest.mark.parametrize("container", ["MAT4", "MAT5", "PAF", "PVF", "IRCAM", "VOC", "NIST", "SVX"])
def test_exotic_containers_are_refused(container: str) -> None:
    """Guard row 18: libsndfile would open these; no speech comes in them."""
    assert "is not audio that hifigan reads" in refusal(encoded(voice(), container))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """Guard row 19: a folder, a FIFO without a writer (which would hang), a device."""
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    assert "is a folder" in refusal(tmp_path)
    assert "not a regular file" in refusal(fifo)
    assert "not a regular file" in refusal(Path("/dev/zero"))


def test_symlinks_that_lead_nowhere_say_why(tmp_path: Path) -> None:
    """Guard row 20: the error is the system's own."""
    dangling, loop = tmp_path / "dangling.wav", tmp_path / "loop.wav"
    dangling.symlink_to(tmp_path / "absent.wav")
    loop.symlink_to(loop)
    assert "No such file" in refusal(dangling)
    assert "symbolic links" in refusal(loop)


def test_a_missing_file_suggests_a_neighbour(tmp_path: Path) -> None:
    """Guard did-you-mean for files."""
    (tmp_path / "speech.wav").touch()
    assert "did you mean speech.wav?" in refusal(tmp_path / "speach.wav")
    assert "null" in refusal(tmp_path / "a\0.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    """Guard row 21."""
    path = tmp_path / "secret.wav"
    path.write_bytes(wav(TONE))
    path.chmod(0)
    assert "Permission denied" in refusal(path)


def test_a_disk_that_fails_is_not_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard the C decoder's blind spot: an I/O error in its callback must not pass as silence."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 10_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    content = encoded(voice(2.0))
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    opened = "hifigan_cli.audio.decoding.open_regular"
    monkeypatch.setattr(opened, lambda _path: Failing(content))
    assert "Input/output error" in refusal(path)


@given(seed=st.integers(0, 2**32 - 1), container=st.sampled_from(["WAV", "AIFF", "AU", "CAF"]))
def test_mutated_headers_never_crash(seed: int, container: str) -> None:
    """Guard the parsers of headers: any bytes end as audio or as an `InputError`."""
    rng = np.random.default_rng(seed)
    content = bytearray(encoded(voice(0.1), container))
    for place in rng.integers(0, 80, 4):
        content[place] = rng.integers(256)
    with suppress(InputError):
        assert read_audio(bytes(content)).samples.size


def test_open_files_do_not_leak(tmp_path: Path) -> None:
    """Guard long batches: a refused file leaves no descriptor open."""
    path = tmp_path / "empty.wav"
    path.touch()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    for _ in range(20):
        for bad in (path, tmp_path):
            with pytest.raises(InputError):
                open_regular(bad)
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before < limit
