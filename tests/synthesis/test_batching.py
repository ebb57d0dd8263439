"""Mels of different lengths in one batch have the same samples as one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config.architecture import context_frames
from hifigan_cli.engines.selection import EngineOptions, build_engine
from hifigan_cli.errors import DeviceError
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.synthesis.batching import MelPiece, split_mel, synthesize_batch
from hifigan_cli.types import FloatArray
from tests.models_for_tests import TINY, loud_model

MODEL = loud_model(TINY)
ENGINE = build_engine(MODEL, EngineOptions("eager"), "cpu")


class LimitedEngine:
    """An engine that runs out of memory with more than `max_batch` pieces; counts its calls."""

    name, precision, chunk_frames = "limited", "fp32", 64

    def __init__(self, max_batch: int) -> None:
        self.max_batch, self.calls = max_batch, 0

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Run the eager forward pass."""
        if len(mel) > self.max_batch:
            raise DeviceError("out of memory")
        self.calls += 1
        return ENGINE.synthesize(mel)


def random_mel(frames: int, seed: int = 0) -> FloatArray:
    """Return a log-mel `(80, frames)`."""
    noise = np.random.default_rng(seed).standard_normal((80, frames))
    return (2 * noise - 5).astype(np.float32)


@given(frames=st.integers(1, 6000), context=st.integers(1, 20))
def test_pieces_cover_the_mel_with_context(frames: int, context: int) -> None:
    """Each frame comes from one piece, which contains its context or the end of the mel."""
    pieces = split_mel(0, frames, context)
    done = 0
    for piece in pieces:
        assert piece.keep_start == done < piece.keep_stop <= piece.stop <= frames
        assert piece.start in (0, frames - (piece.stop - piece.start)) or piece.start >= 0
        assert piece.start == 0 or piece.keep_start - piece.start >= context
        assert piece.stop == frames or piece.stop - piece.keep_stop >= context
        done = piece.keep_stop
    assert done == frames
    assert len({piece.stop - piece.start for piece in pieces}) == 1


@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    batch_frames=st.sampled_from([1, 200, 10_000]),
)
def test_batch_equals_single_mels(lengths: list[int], batch_frames: int) -> None:
    """For any lengths and batch size, the samples match one-pass synthesis within 1e-5."""
    mels = [random_mel(frames, seed) for seed, frames in enumerate(lengths)]
    generated = synthesize_batch(ENGINE, TINY, mels, batch_frames)
    for mel, samples in zip(mels, generated, strict=True):
        expected = ENGINE.synthesize(mel[None])[0]
        assert samples.shape == expected.shape
        assert np.abs(samples - expected).max() < 1e-5


def test_too_little_context_changes_samples() -> None:
    """The test above can fail: pieces with less context have different samples."""
    mel = random_mel(200)
    expected = ENGINE.synthesize(mel[None])[0]
    pieces = split_mel(0, 200, context_frames(TINY) - 2)
    generated = np.concatenate([synthesize_piece(mel, piece) for piece in pieces])
    assert np.abs(generated - expected).max() > 1e-5


def synthesize_piece(mel: FloatArray, piece: MelPiece) -> FloatArray:
    """Synthesize one piece; return its samples without the context."""
    frames = np.ascontiguousarray(mel[None, :, piece.start : piece.stop])
    wave: FloatArray = ENGINE.synthesize(frames)[0]
    hop = TINY.hop_length
    return wave[(piece.keep_start - piece.start) * hop : (piece.keep_stop - piece.start) * hop]


def test_batch_size_is_halved_without_memory() -> None:
    """Mels of the same length share a batch, or smaller batches if memory runs out."""
    mels = [random_mel(64, seed) for seed in range(16)]
    expected = [ENGINE.synthesize(mel[None])[0] for mel in mels]
    for max_batch, calls in ((16, 1), (5, 4)):
        engine = LimitedEngine(max_batch)
        generated = synthesize_batch(engine, TINY, mels)
        assert engine.calls == calls
        np.testing.assert_allclose(generated, expected, atol=1e-5)
    with pytest.raises(DeviceError):
        synthesize_batch(LimitedEngine(0), TINY, mels)


def test_vocode_batch_preserves_channels() -> None:
    """`vocode_batch` equals `vocode` of each mel, with all its channels."""
    vocoder = Vocoder(MODEL, EngineOptions("eager", device="cpu"))
    assert not vocoder.prefers_batches
    mels = [np.stack([random_mel(70, 1), random_mel(70, 2)]), random_mel(90, 3)[None]]
    for mel, generated in zip(mels, vocoder.vocode_batch(mels), strict=True):
        np.testing.assert_allclose(generated, vocoder.vocode(mel).samples, atol=1e-5)
