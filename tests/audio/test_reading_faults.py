"""What is not complete, sound audio is refused with a reason; rows are those of the fault matrix.

Each must end as an `InputError` of one line: no hang, no gigabytes, no other exception.
"""

from __future__ import annotations

import io
import os
import re
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
from tests.audio.bad_files import HALF_WAV, ROWS, TONE, files_of
from tests.audio.sounds import encoded, voice, wav
from tests.helpers import ROOT


def refusal(source: Path | bytes) -> str:
    """Read what must be refused; return message and hint."""
    with pytest.raises(InputError) as caught:
        read_audio(source)
    assert caught.value.exit_code == 3
    return f"{caught.value.message} | {caught.value.hint or ''}"


@pytest.mark.parametrize("number", ROWS)
def test_bad_files_are_refused(number: int, tmp_path: Path) -> None:
    """Guard rows 1, 2, 4, 5, 11 to 15, 17 and 18, from bytes and from a file."""
    for name, bad in files_of(number).items():
        path = tmp_path / f"{name}.wav"
        path.write_bytes(bad.content)
        for message in (refusal(bad.content), refusal(path)):
            assert re.search(bad.says, message), (name, message)


def test_samples_that_are_not_numbers_are_repaired() -> None:
    """Guard row 4: silence in their place, and a note."""
    for name, bad in files_of(4).items():
        repaired = read_audio(bad.content, repair=True)
        assert np.isfinite(repaired.samples).all()
        index = int(name.rpartition(" ")[2])
        assert repaired.samples[1 if index else 0, index] == 0
        assert "replaced by silence" in repaired.notes[0]


def test_of_a_claimed_length_what_is_there_is_repaired() -> None:
    """Guard row 13: refused, or no more than what is there."""
    for bad in files_of(13).values():
        with suppress(InputError):
            assert read_audio(bad.content, repair=True).length_s < 1


def test_a_truncated_file_is_repaired() -> None:
    """Guard row 14: with `repair`, the samples that are there, and a note."""
    content = files_of(14)[HALF_WAV].content
    repaired = read_audio(content, repair=True)
    assert repaired.samples.shape[1] == (len(content) - 44) // 2
    assert "truncated" in repaired.notes[0]


def test_levels_beyond_full_scale_are_scaled_and_said() -> None:
    """Guard row 5: a float file of wrong level is scaled."""
    samples = voice()
    loud = read_audio(encoded(4 * samples, subtype="FLOAT"))
    assert np.abs(loud.samples).max() == pytest.approx(1)
    np.testing.assert_allclose(loud.samples, 2 * samples, atol=1e-6)
    assert "exceeds full scale 2 times" in loud.notes[0]


def test_the_limits_of_rates_and_channels_are_read() -> None:
    """Guard rows 11 and 12 from the other side."""
    assert read_audio(wav(TONE, sample_rate=4000)).sample_rate == 4000
    assert read_audio(wav(TONE, sample_rate=384_000)).sample_rate == 384_000
    assert read_audio(wav(bytes(64 * 20), channels=64)).channels == 64


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
    for name, bad in files_of(13).items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(bad.content)
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)], cwd=ROOT, capture_output=True, check=True
    )
    assert int(run.stdout) < 300


@pytest.mark.parametrize(
    "claimed", [0x7FFFF000, 0x7FFFEFFE, 0x7FFFFFFF, 0x80000000, 2**32 - 1], ids=hex
)
def test_a_stream_of_unknown_length_is_complete(claimed: int) -> None:
    """Guard WAV from a pipe, whose writer (espeak-ng, sox) could not go back to say the length."""
    audio = read_audio(wav(TONE, claimed=claimed))
    assert audio.samples.shape == (1, 4000)
    assert audio.notes == ()


@pytest.mark.parametrize("claimed", [2**62, 2**63 - 1, 2**64 - 1], ids=hex)
def test_a_wide_stream_of_unknown_length_is_complete(claimed: int) -> None:
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
    """Guard two joined files: the decoder gives the first and says nothing of the rest."""
    first, second = (
        encoded(voice(s, seed=seed), "OGG", subtype, 24_000) for s, seed in ((1, 0), (2, 3))
    )
    assert "several streams one after another" in refusal(first + second)
    repaired = read_audio(first + second, repair=True)
    np.testing.assert_array_equal(repaired.samples, read_audio(first).samples)
    assert "only the first is read" in repaired.notes[0]


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


def test_a_missing_file_suggests_a_neighbor(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("fails_at", [0, 10_000])
def test_a_disk_that_fails_is_not_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Guard the C decoder's blind spot: an I/O error in its callback must not pass as silence."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= fails_at:
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
