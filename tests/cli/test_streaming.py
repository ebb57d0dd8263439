"""`hifigan vocode - -o -`: it reads frames over time and writes the samples when they are ready."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from hifigan_cli.audio import read_audio
from hifigan_cli.audio.wav_stream import WavStreamWriter
from hifigan_cli.audio.writing import to_int16
from hifigan_cli.engines.selection import TORCH_FREE_ENGINES, EngineOptions, unavailable_reason
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.types import FloatArray
from tests.helpers import hifigan_bytes

HOP, HEADER_BYTES = 256, 44


def random_mel(frames: int) -> FloatArray:
    """Return a random log-mel `(80, frames)` with about the levels of speech."""
    noise = np.random.default_rng(1).standard_normal((80, frames))
    return (0.8 * noise - 5).astype(np.float32)


def vocode_at_once(model: Path, mel: FloatArray) -> npt.NDArray[np.int16]:
    """Synthesize the complete mel with the eager engine; return 16-bit samples."""
    vocoder = Vocoder(open_model(model), EngineOptions("eager", device="cpu"))
    samples: npt.NDArray[np.int16] = to_int16(vocoder.vocode(mel).samples)[0]
    return samples


def raw_frames(mel: FloatArray) -> bytes:
    """Encode frames as raw float32, frame by frame."""
    return np.ascontiguousarray(mel.T).tobytes()


def npy(mel: FloatArray) -> bytes:
    """Encode a mel as `numpy.save` does."""
    memory = io.BytesIO()
    np.save(memory, mel)
    return memory.getvalue()


@contextmanager
def running(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], Any, Any]]:
    """Run `hifigan` with open pipes: yield the process, its stdin and its stdout."""
    command = [sys.executable, "-m", "hifigan_cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            yield process, process.stdin, process.stdout
        finally:
            process.kill()


ENGINES = [*(name for name in TORCH_FREE_ENGINES if not unavailable_reason(name)), "torch"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("encode", [raw_frames, npy])
def test_samples_are_written_while_frames_arrive(
    engine: str, encode: Callable[[FloatArray], bytes], model: Path
) -> None:
    """The first samples are written before the last frame is read, and all are correct."""
    mel = random_mel(120)
    with running("vocode", "-", "-o", "-", "-m", model, "--engine", engine, "-q") as (
        process,
        stdin,
        stdout,
    ):
        for start in range(0, 100, 10):
            stdin.write(encode(mel[:, start : start + 10]))
            stdin.flush()
        early = stdout.read(HEADER_BYTES + 40 * HOP * 2)  # blocks until they are written
        stdin.write(encode(mel[:, 100:]))
        stdin.close()
        content = early + stdout.read()
        assert process.wait(30) == 0
    assert len(early) > HEADER_BYTES
    samples = np.frombuffer(content[HEADER_BYTES:], "<i2")
    expected = vocode_at_once(model, mel)
    assert samples.shape == expected.shape
    assert np.abs(samples.astype(int) - expected).max() <= 1  # 1e-5 is a third of a 16-bit step
    assert np.abs(expected.astype(int)).max() > 300
    assert read_audio(content).samples.shape[1] == 120 * HOP  # the header has no length


def test_pipes_and_files_are_equal(model: Path, tmp_path: Path) -> None:
    """Pipes, files, a redirected file and raw output all contain the same samples."""
    mel = random_mel(90)
    np.save(tmp_path / "m.npy", mel)
    common = ("-m", model, "-q")
    run = hifigan_bytes("vocode", tmp_path / "m.npy", "-o", tmp_path / "a.wav", *common)
    assert run.returncode == 0, run.stderr
    expected = (tmp_path / "a.wav").read_bytes()
    run = hifigan_bytes("vocode", tmp_path / "m.npy", "-o", "-", *common)
    assert run.stdout == expected
    run = hifigan_bytes("vocode", "-", "-o", tmp_path / "b.wav", *common, stdin=raw_frames(mel))
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "b.wav").read_bytes() == expected
    run = hifigan_bytes("vocode", "-", "-o", "-", "--raw", *common, stdin=raw_frames(mel))
    assert run.stdout == expected[HEADER_BYTES:]
    with (tmp_path / "c.wav").open("wb") as out:  # the length in its header is updated at the end
        command = [sys.executable, "-m", "hifigan_cli", "vocode", "-", "-o", "-", *common]
        redirected = subprocess.run(
            list(map(str, command)), input=raw_frames(mel), stdout=out, check=False
        )
    assert redirected.returncode == 0
    assert (tmp_path / "c.wav").read_bytes() == expected


def test_appended_file_has_one_header(tmp_path: Path) -> None:
    """With `>> file` the header cannot be updated, and a second header must not be written."""
    with (tmp_path / "a.wav").open("ab") as out:
        writer = WavStreamWriter(out, 16_000, 1, lambda: None)
        writer.write(np.zeros((1, 500), np.float32))
        writer.close()
    assert (tmp_path / "a.wav").stat().st_size == HEADER_BYTES + 1000
    assert soundfile.info(tmp_path / "a.wav").frames == 500


def test_raw_needs_stdout(model: Path, tmp_path: Path) -> None:
    """--raw with an output file is a usage error."""
    np.save(tmp_path / "m.npy", random_mel(3))
    run = hifigan_bytes(
        "vocode", tmp_path / "m.npy", "-o", tmp_path / "a.wav", "-m", model, "--raw"
    )
    assert run.returncode == 2
    assert not (tmp_path / "a.wav").exists()


def test_truncated_stream(model: Path) -> None:
    """A stream that ends within a frame fails with exit code 3."""
    stdin = raw_frames(random_mel(200))[:-7]
    run = hifigan_bytes("vocode", "-", "-o", "-", "-m", model, stdin=stdin)
    assert run.returncode == 3
    assert run.stderr.count(b"error:") == 1
    assert b"Traceback" not in run.stderr


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def memory_over_time(model: Path, frames: int, blocks: int) -> list[float]:
    """Send blocks of frames through a pipe; return the memory of the process after each in MiB."""
    block = raw_frames(random_mel(frames))
    with running("vocode", "-", "-o", "-", "-m", model, "-q", "--raw") as (process, stdin, stdout):

        def write_blocks() -> None:
            for _ in range(blocks):
                stdin.write(block)
            stdin.close()

        writer = threading.Thread(target=write_blocks)
        writer.start()
        memories_mb = []
        while stdout.read(frames * HOP * 2):
            memories_mb.append(memory_mb(process.pid))
        writer.join()
        assert process.wait(30) == 0
    assert len(memories_mb) == blocks
    return memories_mb[:-1]  # the process may already exit during the last measurement


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_constant(model: Path) -> None:
    """The memory does not grow while minutes of mel pass through a pipe."""
    memories_mb = memory_over_time(model, frames=2000, blocks=12)
    assert max(memories_mb[4:]) < memories_mb[3] + 8, memories_mb


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_hours(model: Path) -> None:
    """The memory does not grow during ten hours of mel."""
    blocks = 10 * 3600 * 22_050 // HOP // 4000
    memories_mb = memory_over_time(model, frames=4000, blocks=blocks)
    start_mb = memories_mb[blocks // 100]
    print(f"MiB after 1 % and at the end: {start_mb:.0f}, {memories_mb[-1]:.0f}")
    assert max(memories_mb) < start_mb + 10
