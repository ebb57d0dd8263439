"""Chunks give the samples of the whole, whatever the sizes, and never run short."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.config.architecture import context_frames
from hifigan_cli.errors import DeviceError
from hifigan_cli.models import Generator
from hifigan_cli.synthesis import chunks
from hifigan_cli.synthesis.chunks import ChunkedStream
from hifigan_cli.types import AnyArray
from tests.models_for_tests import TINY, tiny_generator

SHAPES = {
    "tiny": TINY,
    "block 2": GeneratorConfig(
        resblock=2,
        upsample_rates=(4, 2),
        upsample_kernel_sizes=(8, 6),
        upsample_initial_channel=8,
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 2), (2, 6)),
    ),
}


class Exact:
    """An engine in double precision: there, only the mathematics can differ.

    It runs out of memory with more than `room` frames.
    """

    name, precision = "exact", "fp64"

    def __init__(self, shape: str = "tiny", seed: int = 0, room: int = 1 << 30) -> None:
        self.config = SHAPES[shape]
        self.chunk_frames = 32
        self._net: Generator = tiny_generator(seed, self.config).double().eval()
        self._room = room

    def synthesize(self, mel: AnyArray) -> AnyArray:
        """Run the plain network."""
        if mel.shape[-1] > self._room:
            raise DeviceError("out of memory")
        with torch.no_grad():
            wave: AnyArray = self._net(torch.from_numpy(mel))[:, 0].numpy()
        return wave


def mel_of(frames: int, seed: int = 0, batch: int = 1) -> AnyArray:
    """Make a mel in double precision."""
    return np.random.default_rng(seed).standard_normal((batch, 80, frames))


def pushed(stream: ChunkedStream, mel: AnyArray, block: int) -> list[AnyArray]:
    """Push a mel in blocks; return what each push gave, the end's last."""
    pieces = [
        stream.push(mel[..., start : start + block]) for start in range(0, mel.shape[-1], block)
    ]
    return [*pieces, stream.push(mel[..., :0], end=True)]


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 3),
    frames=st.integers(1, 120),
    chunk=st.integers(1, 40),
    block=st.integers(1, 60),
    batch=st.integers(1, 2),
    prompt=st.booleans(),
)
def test_chunks_equal_the_whole(
    shape: str, seed: int, frames: int, chunk: int, block: int, batch: int, prompt: bool
) -> None:
    """Any length, cut any way, gives the whole's samples to the last digit of doubles."""
    engine = Exact(shape, seed)
    mel = mel_of(frames, seed, batch)
    stream = ChunkedStream(engine, engine.config, chunk, prompt=prompt)
    for _ in range(2):  # after its end, a stream takes another mel
        made = np.concatenate(pushed(stream, mel, block), axis=-1)
        whole = engine.synthesize(mel)
        assert made.shape == whole.shape
        assert np.abs(made - whole).max() < 1e-12


def test_too_little_context_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: one frame of context less changes samples at the seams."""
    engine, mel = Exact(), mel_of(60)
    monkeypatch.setattr(chunks, "context_frames", lambda config: context_frames(config) - 1)
    made = np.concatenate(pushed(ChunkedStream(engine, engine.config, 10), mel, 60), axis=-1)
    assert np.abs(made - engine.synthesize(mel)).max() > 1e-9


@given(chunk=st.integers(1, 30), prompt=st.booleans(), frames=st.integers(1, 200))
def test_the_latency_is_as_stated(chunk: int, prompt: bool, frames: int) -> None:
    """Frame by frame: the samples of a frame are out once `latency_frames` have followed it."""
    engine = Exact()
    stream = ChunkedStream(engine, engine.config, chunk, prompt=prompt)
    mel, made = mel_of(1), 0
    for pushed_frames in range(1, frames + 1):
        made += stream.push(mel).shape[-1]
        assert made >= (pushed_frames - stream.latency_frames) * engine.config.hop_length
        assert stream._held is not None
        assert stream._held.shape[-1] <= 2 * chunk + 2 * context_frames(engine.config)


def test_nothing_in_nothing_out() -> None:
    """An empty stream of mel gives no samples and no error."""
    engine = Exact()
    stream = ChunkedStream(engine, engine.config)
    assert stream.push(mel_of(0)).shape == (1, 0)
    assert stream.push(mel_of(0), end=True).shape == (1, 0)


def test_out_of_memory_halves_the_chunk() -> None:
    """A device too small for a chunk gets smaller ones, and the result is the same."""
    engine, mel = Exact(seed=1, room=40), mel_of(300, seed=1)
    told: list[int] = []
    stream = ChunkedStream(engine, engine.config, 100, on_halved=told.append)
    made = np.concatenate(pushed(stream, mel, 300), axis=-1)
    assert told == [50, 25]
    assert np.abs(made - Exact(seed=1).synthesize(mel)).max() < 1e-12


def test_a_device_that_holds_nothing() -> None:
    """When the smallest chunk does not fit either, the error says so."""
    engine = Exact(room=0)
    with pytest.raises(DeviceError, match="smallest chunk"):
        ChunkedStream(engine, engine.config, 64).push(mel_of(200), end=True)
