"""Mels that arrive through a pipe, in all formats and in pieces of any size; errors."""

from __future__ import annotations

import io
import itertools
import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config import MelConfig
from hifigan_cli.errors import DamagedError, EmptyError, InputError, UsageError
from hifigan_cli.synthesis.input_mel import InputMel, stream_mel
from hifigan_cli.synthesis.mel_files import STDIN
from hifigan_cli.synthesis.mel_stream import MelStream
from hifigan_cli.types import FloatArray

MEL = MelConfig(n_mels=7)


class PieceStream(io.RawIOBase):
    """A stream that returns its bytes in pieces of the listed sizes, as a pipe may."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content, self._sizes = content, itertools.cycle(sizes)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next piece."""
        count = next(self._sizes)
        piece, self._content = self._content[:count], self._content[count:]
        return piece


def random_mel(frames: int, seed: int = 0) -> FloatArray:
    """Return a log-mel `(7, frames)`."""
    noise = np.random.default_rng(seed).standard_normal((7, frames))
    return (0.8 * noise - 6).astype(np.float32)


def npy(array: npt.NDArray[Any]) -> bytes:
    """Encode an array as `numpy.save` does."""
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()


def read_blocks(content: bytes, sizes: list[int], **options: Any) -> list[FloatArray]:
    """Read a mel from a stream; return its blocks."""
    stream: Any = PieceStream(content, sizes)
    mel_stream = MelStream(stream, MEL, transpose=options.pop("transpose", False))
    options.setdefault("on_open", lambda _opened: None)
    return list(stream_mel(mel_stream, MEL, **options))


@given(
    frames=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    form=st.sampled_from(["raw", "npy", "blocks", "fortran", "transposed", "npz"]),
    block=st.integers(1, 20),
)
def test_all_formats_in_any_pieces(frames: int, sizes: list[int], form: str, block: int) -> None:
    """The mel that is read equals the one that was sent, for pieces of any size."""
    mel = random_mel(frames)
    pieces = [mel[:, start : start + block] for start in range(0, frames, block)]
    archive = io.BytesIO()
    np.savez(archive, mel=mel)
    content = {
        "raw": np.ascontiguousarray(mel.T).tobytes(),
        "npy": npy(mel),
        "blocks": b"".join(npy(piece) for piece in pieces),
        "fortran": npy(np.asfortranarray(mel)),
        "transposed": b"".join(npy(np.ascontiguousarray(piece.T)) for piece in pieces),
        "npz": archive.getvalue(),
    }[form]
    blocks = read_blocks(content, sizes, transpose=form == "transposed")
    assert all(block.shape[:2] == (1, 7) and block.dtype == np.float32 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=2)[0], mel)


@pytest.mark.parametrize("form", ["raw", "blocks"])
def test_frames_are_yielded_before_the_end(form: str) -> None:
    """Each block is yielded while the pipe is still open."""
    reading, writing = os.pipe()
    arrived = threading.Event()
    mel = random_mel(2)
    piece = np.ascontiguousarray(mel.T).tobytes() if form == "raw" else npy(mel)

    def send() -> None:
        with os.fdopen(writing, "wb", buffering=0) as stream:
            for _ in range(3):
                stream.write(piece)
                assert arrived.wait(10), "the block was not yielded while the pipe was open"
                arrived.clear()

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(reading, "rb", buffering=0) as stream:
        total = 0
        for block in stream_mel(MelStream(stream, MEL), MEL, on_open=lambda _: None):
            total += block.shape[2]
            arrived.set()
    sender.join()
    assert total == 6


def test_length_of_a_single_array_is_known() -> None:
    """The length is known at the first block only if the stream is a single `.npy` array."""
    mel = random_mel(5)
    for content, known in ((npy(mel), 5), (npy(mel) * 2, None), (mel.T.tobytes(), None)):
        mel_stream = MelStream(io.BytesIO(content), MEL)
        next(mel_stream.blocks())
        assert mel_stream.frames == known


BAD = {
    "empty": (b"", EmptyError, "0 bytes"),
    "partial frame": (random_mel(3).T.tobytes()[:-5], DamagedError, "7 float32"),
    "partial block": (npy(random_mel(3))[:-5], DamagedError, r"\(7, 3\)"),
    "garbage after a block": (npy(random_mel(3)) + b"garbage beyond", InputError, r"\.npy"),
    "wrong bands": (npy(random_mel(20)[:5]), InputError, r"\(7, frames\)"),
    "integers": (npy(np.zeros((7, 3), np.int16)), InputError, "int16"),
    "text": (b"<!DOCTYPE html>" + bytes(100), InputError, STDIN),
    "zeros": (bytes(400), InputError, STDIN),
    "objects": (npy(np.array([None], object)), InputError, "Python objects"),
    "nan": (npy(random_mel(3)) + npy(random_mel(4) * np.nan), InputError, "band 0, frame 3"),
    "decibels": (npy(random_mel(40) * 10 + 30), InputError, "decibels"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_streams(name: str) -> None:
    """Streams that are truncated, not a mel, or have wrong bands or values are input errors."""
    content, error, fact = BAD[name]
    with pytest.raises(error, match=fact):
        read_blocks(content, [4096])


def test_scales_of_streams() -> None:
    """A named scale is converted block by block; `auto` cannot detect it from a few frames."""
    mel = random_mel(40)
    log10 = (mel / np.log(10)).astype(np.float32)
    opened: list[InputMel] = []
    blocks = read_blocks(
        log10.T.tobytes(), [7 * 4 * 3], mel_as="log10", check=False, on_open=opened.append
    )
    np.testing.assert_allclose(np.concatenate(blocks, axis=2)[0], mel, atol=1e-5)
    assert len(opened) == 1
    with pytest.raises(UsageError, match="--mel-as auto"):
        read_blocks(log10.T.tobytes(), [7 * 4 * 3], mel_as="auto")
    with pytest.raises(UsageError, match="log11"):
        read_blocks(log10.T.tobytes(), [99], mel_as="log11")
