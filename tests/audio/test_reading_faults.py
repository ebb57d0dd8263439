"""Incomplete or damaged audio is rejected with a reason; rows refer to the fault matrix.

Each case must raise an `InputError` with one line, without a hang, gigabytes or other exceptions.
"""

from __future__ import annotations

import errno
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
from tests.audio.bad_files import HALF_WAV, ROWS, TONE, files_of_row
from tests.audio.sounds import encode, voice, wav
from tests.helpers import ROOT


def error_text(source: Path | bytes) -> str:
    """Read audio that must be rejected; return message and hint."""
    with pytest.raises(InputError) as error:
        read_audio(source)
    assert error.value.exit_code == 3
    return f"{error.value.message} | {error.value.hint or ''}"


@pytest.mark.parametrize("number", ROWS)
def test_bad_files_are_rejected(number: int, tmp_path: Path) -> None:
    """Rows 1, 2, 4, 5, 11 to 15, 17 and 18, from bytes and from a file."""
    for name, bad in files_of_row(number).items():
        path = tmp_path / f"{name}.wav"
        path.write_bytes(bad.content)
        for text, label in ((error_text(bad.content), "standard input"), (error_text(path), name)):
            assert label in text
            assert re.search(bad.pattern, text), (name, text)


def test_nonfinite_samples_are_repaired() -> None:
    """Row 4: they become silence, with a note."""
    for name, bad in files_of_row(4).items():
        repaired = read_audio(bad.content, repair=True)
        assert np.isfinite(repaired.samples).all()
        index = int(name.rpartition(" ")[2])
        assert repaired.samples[1 if index else 0, index] == 0
        assert "has 2 NaN" in repaired.notes[0]


def test_repair_ignores_false_lengths() -> None:
    """Row 13: a file is rejected, or read only as far as it has samples."""
    for bad in files_of_row(13).values():
        with suppress(InputError):
            assert read_audio(bad.content, repair=True).length_s < 1


def test_truncated_file_is_repaired() -> None:
    """Row 14: with `repair`, the existing samples are read, with a note."""
    content = files_of_row(14)[HALF_WAV].content
    repaired = read_audio(content, repair=True)
    assert repaired.samples.shape[1] == (len(content) - 44) // 2
    missing = len(encode(voice(2.0))) - len(content)
    assert f"{missing} bytes" in repaired.notes[0]


def test_levels_beyond_full_scale_are_scaled_with_a_note() -> None:
    """Row 5: a float file with a wrong level is scaled."""
    samples = voice()
    loud = read_audio(encode(4 * samples, subtype="FLOAT"))
    assert np.abs(loud.samples).max() == pytest.approx(1)
    np.testing.assert_allclose(loud.samples, 2 * samples, atol=1e-6)
    assert "2 times full scale" in loud.notes[0]


def test_extreme_rates_and_channels_are_read() -> None:
    """Rows 11 and 12: the limits themselves are valid."""
    assert read_audio(wav(TONE, sample_rate=4000)).sample_rate == 4000
    assert read_audio(wav(TONE, sample_rate=384_000)).sample_rate == 384_000
    assert read_audio(wav(bytes(64 * 20), channels=64)).channels == 64


def test_false_lengths_use_no_memory(tmp_path: Path) -> None:
    """Row 13: reading uses less than 300 MB above the import, whatever the header states."""
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
    for name, bad in files_of_row(13).items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(bad.content)
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)], cwd=ROOT, capture_output=True, check=True
    )
    assert int(run.stdout) < 300


@pytest.mark.parametrize(
    "stated_bytes", [0x7FFFF000, 0x7FFFEFFE, 0x7FFFFFFF, 0x80000000, 2**32 - 1], ids=hex
)
def test_stream_of_unknown_length_is_read_completely(stated_bytes: int) -> None:
    """Programs that write WAV to a pipe (espeak-ng, sox) cannot go back to state the length."""
    audio = read_audio(wav(TONE, stated_bytes=stated_bytes))
    assert audio.samples.shape == (1, 4000)
    assert audio.notes == ()


@pytest.mark.parametrize("stated_bytes", [2**62, 2**63 - 1, 2**64 - 1], ids=hex)
def test_w64_stream_of_unknown_length_is_read_completely(stated_bytes: int) -> None:
    """The length of W64 has 64 bits, of which ffmpeg does not set the sign."""
    content = bytearray(encode(voice(), "W64"))
    at = content.index(b"data\xf3\xac") + 16
    content[at : at + 8] = struct.pack("<Q", stated_bytes)
    np.testing.assert_array_equal(
        read_audio(bytes(content)).samples, read_audio(encode(voice())).samples
    )


@cache
def many_pages(subtype: str) -> bytes:
    """Encode 12 s, so that a lost page is one of many and the decoder does not report it."""
    container = "FLAC" if subtype == "PCM_16" else "OGG"
    return encode(voice(12.0), container, subtype, 24_000)


@pytest.mark.parametrize("subtype", ["PCM_16", "VORBIS", "OPUS"])
@given(position=st.floats(0.1, 0.95), bit=st.integers(0, 7))
def test_flipped_bit_in_flac_or_ogg_is_detected(subtype: str, position: float, bit: int) -> None:
    """Row 15: both formats have checksums, but libsndfile ignores those of Ogg."""
    content = bytearray(many_pages(subtype))
    content[int(len(content) * position)] ^= 1 << bit
    error_text(bytes(content))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_joined_ogg_streams_are_detected(subtype: str) -> None:
    """The decoder reads only the first of two joined files, without an error."""
    first, second = (
        encode(voice(s, seed=seed), "OGG", subtype, 24_000) for s, seed in ((1, 0), (2, 3))
    )
    assert "Ogg streams" in error_text(first + second)
    repaired = read_audio(first + second, repair=True)
    np.testing.assert_array_equal(repaired.samples, read_audio(first).samples)
    assert "Ogg streams" in repaired.notes[0]


def test_special_files_are_rejected_immediately(tmp_path: Path) -> None:
    """Row 19: a folder, a FIFO without a writer (which would hang), a device."""
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, Path("/dev/zero")):
        assert str(path) in error_text(path)


def test_broken_symlinks_report_the_system_error(tmp_path: Path) -> None:
    """Row 20."""
    dangling, loop = tmp_path / "dangling.wav", tmp_path / "loop.wav"
    dangling.symlink_to(tmp_path / "absent.wav")
    loop.symlink_to(loop)
    assert os.strerror(errno.ENOENT) in error_text(dangling)
    assert os.strerror(errno.ELOOP) in error_text(loop)


def test_missing_file_suggests_a_similar_name(tmp_path: Path) -> None:
    """A hint names an existing file."""
    (tmp_path / "speech.wav").touch()
    assert "speech.wav" in error_text(tmp_path / "speach.wav")
    assert "null" in error_text(tmp_path / "a\0.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_is_rejected(tmp_path: Path) -> None:
    """Row 21."""
    path = tmp_path / "secret.wav"
    path.write_bytes(wav(TONE))
    path.chmod(0)
    assert os.strerror(errno.EACCES) in error_text(path)


@pytest.mark.parametrize("fails_at", [0, 10_000])
def test_read_error_is_not_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """The C decoder cannot see an I/O error in its callback, which must still be reported."""

    class FailingStream(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= fails_at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    content = encode(voice(2.0))
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    open_function = "hifigan_cli.audio.decoding.open_regular"
    monkeypatch.setattr(open_function, lambda _path: FailingStream(content))
    assert os.strerror(errno.EIO) in error_text(path)


@given(seed=st.integers(0, 2**32 - 1), container=st.sampled_from(["WAV", "AIFF", "AU", "CAF"]))
def test_mutated_headers_do_not_crash(seed: int, container: str) -> None:
    """Any bytes are read as audio or raise an `InputError`."""
    rng = np.random.default_rng(seed)
    content = bytearray(encode(voice(0.1), container))
    for position in rng.integers(0, 80, 4):
        content[position] = rng.integers(256)
    with suppress(InputError):
        assert read_audio(bytes(content)).samples.size


def test_rejected_files_are_closed(tmp_path: Path) -> None:
    """In long batches, rejected files must not leave descriptors open."""
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
