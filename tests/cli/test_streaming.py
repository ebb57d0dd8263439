"""`hifigan vocode - -o -`: frames in over time, samples out as they come, nothing lost."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
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
from hifigan_cli.engines.choose import LIGHT, EngineOptions, missing
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.types import FloatArray
from tests.helpers import hifigan_bytes

HOP, HEADER_BYTES = 256, 44


def mel_of(frames: int) -> FloatArray:
    """Make a log-mel `(80, frames)` of about the levels of speech."""
    noise = np.random.default_rng(1).standard_normal((80, frames))
    return (0.8 * noise - 5).astype(np.float32)


def whole(model: Path, mel: FloatArray) -> npt.NDArray[np.int16]:
    """Synthesise the whole by the plain forward pass; return 16-bit samples."""
    vocoder = Vocoder(open_model(model), EngineOptions("eager", device="cpu"))
    codes: npt.NDArray[np.int16] = to_int16(vocoder.vocode(mel).samples)[0]
    return codes


def bare(mel: FloatArray) -> bytes:
    """Encode frames as bare float32, one after another."""
    return np.ascontiguousarray(mel.T).tobytes()


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


ENGINES = [*(name for name in LIGHT if not missing(name)), "torch"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", ["bare", "blocks"])
def test_samples_come_while_frames_go_in(engine: str, form: str, model: Path) -> None:
    """Frames one by one: the first samples are out before the last frame is in; all are right."""
    mel = mel_of(120)
    with running("vocode", "-", "-o", "-", "-m", model, "--engine", engine, "-q") as (
        process,
        into,
        out,
    ):
        for start in range(0, 100, 10):
            piece = mel[:, start : start + 10]
            if form == "bare":
                into.write(bare(piece))
            else:
                into.write(npy(piece))
            into.flush()
        early = out.read(HEADER_BYTES + 40 * HOP * 2)  # it waits for so many
        into.write(bare(mel[:, 100:]) if form == "bare" else npy(mel[:, 100:]))
        into.close()
        content = early + out.read()
        assert process.wait(30) == 0
    assert len(early) > HEADER_BYTES
    made = np.frombuffer(content[HEADER_BYTES:], "<i2")
    expected = whole(model, mel)
    assert made.shape == expected.shape
    assert np.abs(made.astype(int) - expected).max() <= 1  # 1e-5 is a third of a step
    assert np.abs(expected.astype(int)).max() > 300
    assert read_audio(content).samples.shape[1] == 120 * HOP  # a header without a length


def npy(mel: FloatArray) -> bytes:
    """Encode as `numpy.save` does."""
    memory = io.BytesIO()
    np.save(memory, mel)
    return memory.getvalue()


def test_ways_in_and_out(model: Path, tmp_path: Path) -> None:
    """Pipe to file, file to pipe, to a redirected file, and bare samples: all the same samples."""
    mel = mel_of(90)
    np.save(tmp_path / "m.npy", mel)
    common = ("-m", model, "-q")
    assert (
        hifigan_bytes("vocode", tmp_path / "m.npy", "-o", tmp_path / "a.wav", *common).returncode
        == 0
    )
    expected = (tmp_path / "a.wav").read_bytes()
    made = hifigan_bytes("vocode", tmp_path / "m.npy", "-o", "-", *common)
    assert made.stdout == expected
    made = hifigan_bytes("vocode", "-", "-o", tmp_path / "b.wav", *common, stdin=bare(mel))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "b.wav").read_bytes() == expected
    made = hifigan_bytes("vocode", "-", "-o", "-", "--raw", *common, stdin=bare(mel))
    assert made.stdout == expected[HEADER_BYTES:]
    with (tmp_path / "c.wav").open("wb") as out:  # the length is put right where it can be
        command = [sys.executable, "-m", "hifigan_cli", "vocode", "-", "-o", "-", *common]
        run = subprocess.run(list(map(str, command)), input=bare(mel), stdout=out, check=False)
    assert run.returncode == 0
    assert (tmp_path / "c.wav").read_bytes() == expected


def test_what_is_appended_has_one_header(tmp_path: Path) -> None:
    """Guard `>> file`: the header cannot be put right there, and a second one is no sound."""
    with (tmp_path / "a.wav").open("ab") as out:
        writer = WavStreamWriter(out, 16_000, 1, lambda: None)
        writer.write(np.zeros((1, 500), np.float32))
        writer.close()
    assert (tmp_path / "a.wav").stat().st_size == HEADER_BYTES + 1000
    assert soundfile.info(tmp_path / "a.wav").frames == 500


def test_bare_is_for_stdout(model: Path, tmp_path: Path) -> None:
    """A file without a header would be lost: exit 2."""
    np.save(tmp_path / "m.npy", mel_of(3))
    run = hifigan_bytes(
        "vocode", tmp_path / "m.npy", "-o", tmp_path / "a.wav", "-m", model, "--raw"
    )
    assert run.returncode == 2
    assert not (tmp_path / "a.wav").exists()


def test_a_stream_that_breaks(model: Path) -> None:
    """Cut within a frame: what came before is out, and the exit code says that it is not all."""
    run = hifigan_bytes("vocode", "-", "-o", "-", "-m", model, stdin=bare(mel_of(200))[:-7])
    assert run.returncode == 3
    assert b"within a frame" in run.stderr
    assert b"Traceback" not in run.stderr


def memory_mb(process: int) -> float:
    """Return what a process holds in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def memory_over_time(model: Path, frames: int, pieces: int) -> list[float]:
    """Push pieces of frames through a pipe; return the process's megabytes after each."""
    piece = bare(mel_of(frames))
    with running("vocode", "-", "-o", "-", "-m", model, "-q", "--raw") as (process, into, out):

        def feed() -> None:
            for _ in range(pieces):
                into.write(piece)
            into.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        held = []
        while out.read(frames * HOP * 2):
            held.append(memory_mb(process.pid))
        feeder.join()
        assert process.wait(30) == 0
    assert len(held) == pieces
    return held[:-1]  # the last is of a process that takes leave


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_flat(model: Path) -> None:
    """Minutes of frames through a pipe: memory does not grow once it runs."""
    held = memory_over_time(model, frames=2000, pieces=12)
    assert max(held[4:]) < held[3] + 8, held


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_hours(model: Path) -> None:
    """Ten hours of mel in flat memory."""
    pieces = 10 * 3600 * 22_050 // HOP // 4000
    held = memory_over_time(model, frames=4000, pieces=pieces)
    print(f"MB after 1 % and at the end: {held[pieces // 100]:.0f}, {held[-1]:.0f}")
    assert max(held) < held[pieces // 100] + 10
