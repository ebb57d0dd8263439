"""Mels that arrive over time: every form, cut anywhere by the pipe; what is wrong is said."""

from __future__ import annotations

import io
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
from hifigan_cli.synthesis.mel_stream import MelStream
from hifigan_cli.types import FloatArray

MEL = MelConfig(n_mels=7)


class Dribble(io.RawIOBase):
    """A stream that gives its bytes in pieces of drawn sizes, as a pipe may."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content, self._sizes, self._at = content, sizes, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next piece."""
        count = self._sizes[self._at % len(self._sizes)]
        self._at += 1
        piece, self._content = self._content[:count], self._content[count:]
        return piece


def mel_of(frames: int, seed: int = 0) -> FloatArray:
    """Make a log-mel `(7, frames)`."""
    noise = np.random.default_rng(seed).standard_normal((7, frames))
    return (0.8 * noise - 6).astype(np.float32)


def npy(array: npt.NDArray[Any]) -> bytes:
    """Encode an array as `numpy.save` does."""
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()


def received(content: bytes, sizes: list[int], **options: Any) -> list[FloatArray]:
    """Take a mel from a stream; return its blocks."""
    stream: Any = Dribble(content, sizes)
    incoming = MelStream(stream, MEL, transpose=options.pop("transpose", False))
    options.setdefault("on_open", lambda _opened: None)
    return list(stream_mel(incoming, MEL, **options))


@given(
    frames=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    form=st.sampled_from(["bare", "npy", "blocks", "columns", "turned", "npz"]),
    cut=st.integers(1, 20),
)
def test_every_form_cut_anywhere(frames: int, sizes: list[int], form: str, cut: int) -> None:
    """What is received is what was sent, whatever the pieces."""
    mel = mel_of(frames)
    pieces = [mel[:, start : start + cut] for start in range(0, frames, cut)]
    packed = io.BytesIO()
    np.savez(packed, mel=mel)
    content = {
        "bare": np.ascontiguousarray(mel.T).tobytes(),
        "npy": npy(mel),
        "blocks": b"".join(npy(piece) for piece in pieces),
        "columns": npy(np.asfortranarray(mel)),
        "turned": b"".join(npy(np.ascontiguousarray(piece.T)) for piece in pieces),
        "npz": packed.getvalue(),
    }[form]
    blocks = received(content, sizes, transpose=form == "turned")
    assert all(block.shape[:2] == (1, 7) and block.dtype == np.float32 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=2)[0], mel)


@pytest.mark.parametrize("form", ["bare", "blocks"])
def test_frames_are_there_before_the_end(form: str) -> None:
    """Each block is handed on while the pipe is still open."""
    reading, writing = os.pipe()
    arrived = threading.Event()
    mel = mel_of(2)
    piece = np.ascontiguousarray(mel.T).tobytes() if form == "bare" else npy(mel)

    def send() -> None:
        with os.fdopen(writing, "wb", buffering=0) as stream:
            for _ in range(3):
                stream.write(piece)
                assert arrived.wait(10), "a block was not handed on while the pipe was open"
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


def test_the_length_of_a_single_array_is_known() -> None:
    """One `.npy` that ends the stream tells its length before a sample is made; blocks do not."""
    mel = mel_of(5)
    for content, known in ((npy(mel), 5), (npy(mel) * 2, None), (mel.T.tobytes(), None)):
        incoming = MelStream(io.BytesIO(content), MEL)
        next(incoming.blocks())
        assert incoming.frames == known


BAD = {
    "nothing": (b"", EmptyError, "empty"),
    "half a frame": (mel_of(3).T.tobytes()[:-5], DamagedError, "within a frame of 7"),
    "half a block": (npy(mel_of(3))[:-5], DamagedError, "within a .npy block"),
    "another after": (npy(mel_of(3)) + b"garbage beyond", InputError, "no further .npy"),
    "other bands": (npy(mel_of(20)[:5]), InputError, "not \\(7, frames\\)"),
    "integers": (npy(np.zeros((7, 3), np.int16)), InputError, "int16"),
    "text": (b"<!DOCTYPE html>" + bytes(100), InputError, "not a mel file"),
    "zeros": (bytes(400), InputError, "not a mel file"),
    "objects": (npy(np.array([None], object)), InputError, "Python objects"),
    "nan": (npy(mel_of(3)) + npy(mel_of(4) * np.nan), InputError, "band 0, frame 3"),
    "decibels": (npy(mel_of(40) * 10 + 30), InputError, "decibels"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str) -> None:
    """Cut, foreign, of other bands, or not numbers: an input error that names it."""
    content, kind, words = BAD[name]
    with pytest.raises(kind, match=words):
        received(content, [4096])


def test_scales_of_streams() -> None:
    """A named scale is converted block by block; one cannot be recognized from a frame."""
    mel = mel_of(40)
    log10 = (mel / np.log(10)).astype(np.float32)
    told: list[InputMel] = []
    blocks = received(
        log10.T.tobytes(), [7 * 4 * 3], mel_as="log10", check=False, on_open=told.append
    )
    np.testing.assert_allclose(np.concatenate(blocks, axis=2)[0], mel, atol=1e-5)
    assert len(told) == 1
    with pytest.raises(UsageError, match="cannot be recognized"):
        received(log10.T.tobytes(), [7 * 4 * 3], mel_as="auto")
    with pytest.raises(UsageError, match="unknown scale"):
        received(log10.T.tobytes(), [99], mel_as="log11")
