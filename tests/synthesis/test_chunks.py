"""Chunked synthesis has the samples of one-pass synthesis for all sizes, in limited memory."""

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


class DoubleEngine:
    """An engine in double precision, so that rounding cannot hide an error.

    It runs out of memory with more than `max_frames` frames.
    """

    name, precision = "double", "fp64"

    def __init__(self, shape: str = "tiny", seed: int = 0, max_frames: int = 1 << 30) -> None:
        self.config = SHAPES[shape]
        self.chunk_frames = 32
        self._net: Generator = tiny_generator(seed, self.config).double().eval()
        self._max_frames = max_frames

    def synthesize(self, mel: AnyArray) -> AnyArray:
        """Run the network."""
        if mel.shape[-1] > self._max_frames:
            raise DeviceError("out of memory")
        with torch.no_grad():
            wave: AnyArray = self._net(torch.from_numpy(mel))[:, 0].numpy()
        return wave


def random_mel(frames: int, seed: int = 0, batch: int = 1) -> AnyArray:
    """Return a mel in double precision."""
    return np.random.default_rng(seed).standard_normal((batch, 80, frames))


def push_blocks(stream: ChunkedStream, mel: AnyArray, block: int) -> list[AnyArray]:
    """Push a mel in blocks; return the samples from each push."""
    samples = [
        stream.push(mel[..., start : start + block]) for start in range(0, mel.shape[-1], block)
    ]
    return [*samples, stream.push(mel[..., :0], end=True)]


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 3),
    frames=st.integers(1, 120),
    chunk=st.integers(1, 40),
    block=st.integers(1, 60),
    batch=st.integers(1, 2),
    low_latency=st.booleans(),
)
def test_chunks_equal_one_pass(
    shape: str, seed: int, frames: int, chunk: int, block: int, batch: int, low_latency: bool
) -> None:
    """A mel of any length, pushed in any blocks, gives the samples of one pass in float64."""
    engine = DoubleEngine(shape, seed)
    mel = random_mel(frames, seed, batch)
    stream = ChunkedStream(engine, engine.config, chunk, low_latency=low_latency)
    for _ in range(2):  # a finished stream accepts another mel
        generated = np.concatenate(push_blocks(stream, mel, block), axis=-1)
        expected = engine.synthesize(mel)
        assert generated.shape == expected.shape
        assert np.abs(generated - expected).max() < 1e-12


def test_too_little_context_changes_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: one less frame of context changes samples at the seams."""
    engine, mel = DoubleEngine(), random_mel(60)
    monkeypatch.setattr(chunks, "context_frames", lambda config: context_frames(config) - 1)
    stream = ChunkedStream(engine, engine.config, 10)
    generated = np.concatenate(push_blocks(stream, mel, 60), axis=-1)
    assert np.abs(generated - engine.synthesize(mel)).max() > 1e-9


@given(chunk=st.integers(1, 30), low_latency=st.booleans(), frames=st.integers(1, 200))
def test_latency_is_at_most_latency_frames(chunk: int, low_latency: bool, frames: int) -> None:
    """The samples of a frame are returned after at most `latency_frames` more frames."""
    engine = DoubleEngine()
    stream = ChunkedStream(engine, engine.config, chunk, low_latency=low_latency)
    mel, n_samples = random_mel(1), 0
    for pushed_frames in range(1, frames + 1):
        n_samples += stream.push(mel).shape[-1]
        assert n_samples >= (pushed_frames - stream.latency_frames) * engine.config.hop_length
        assert stream._buffer is not None
        assert stream._buffer.shape[-1] <= 2 * chunk + 2 * context_frames(engine.config)


def test_empty_mel_has_no_samples() -> None:
    """An empty stream returns no samples and raises no error."""
    engine = DoubleEngine()
    stream = ChunkedStream(engine, engine.config)
    assert stream.push(random_mel(0)).shape == (1, 0)
    assert stream.push(random_mel(0), end=True).shape == (1, 0)


def test_out_of_memory_halves_the_chunk() -> None:
    """If a chunk does not fit into memory, smaller chunks have the same result."""
    engine, mel = DoubleEngine(seed=1, max_frames=40), random_mel(300, seed=1)
    chunk_sizes: list[int] = []
    stream = ChunkedStream(engine, engine.config, 100, on_chunk_halved=chunk_sizes.append)
    generated = np.concatenate(push_blocks(stream, mel, 300), axis=-1)
    assert chunk_sizes == [50, 25]
    assert np.abs(generated - DoubleEngine(seed=1).synthesize(mel)).max() < 1e-12


def test_smallest_chunk_does_not_fit() -> None:
    """If the smallest chunk does not fit into memory, the error has its size."""
    engine = DoubleEngine(max_frames=0)
    with pytest.raises(DeviceError, match="16 frames"):
        ChunkedStream(engine, engine.config, 64).push(random_mel(200), end=True)
