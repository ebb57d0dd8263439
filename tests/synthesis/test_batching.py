"""Mels of different lengths in one batch: the samples that each has alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config.architecture import context_frames
from hifigan_cli.engines.choose import EngineOptions, make_engine
from hifigan_cli.errors import DeviceError
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.synthesis.batching import MelPiece, cut, synthesize_together
from hifigan_cli.types import FloatArray
from tests.models_for_tests import TINY, loud_model

MODEL = loud_model(TINY)
ENGINE = make_engine(MODEL, EngineOptions("eager"), "cpu")


class Narrow:
    """An engine that runs out of memory with more than `most` pieces; counts its calls."""

    name, precision, chunk_frames = "narrow", "fp32", 64

    def __init__(self, most: int) -> None:
        self.most, self.calls = most, 0

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Run the plain forward pass."""
        if len(mel) > self.most:
            raise DeviceError("out of memory")
        self.calls += 1
        return ENGINE.synthesize(mel)


def mel_of(frames: int, seed: int = 0) -> FloatArray:
    """Make a log-mel `(80, frames)`."""
    noise = np.random.default_rng(seed).standard_normal((80, frames))
    return (2 * noise - 5).astype(np.float32)


@given(frames=st.integers(1, 6000), context=st.integers(1, 20))
def test_pieces_cover_all_with_their_context(frames: int, context: int) -> None:
    """Each frame is kept once, from a piece that has its context or the mel's true end there."""
    pieces = cut(0, frames, context)
    done = 0
    for piece in pieces:
        assert piece.first == done < piece.last <= piece.stop <= frames
        assert piece.start in (0, frames - (piece.stop - piece.start)) or piece.start >= 0
        assert piece.start == 0 or piece.first - piece.start >= context
        assert piece.stop == frames or piece.stop - piece.last >= context
        done = piece.last
    assert done == frames
    assert len({piece.stop - piece.start for piece in pieces}) == 1


@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    batch_frames=st.sampled_from([1, 200, 10_000]),
)
def test_together_is_as_alone(lengths: list[int], batch_frames: int) -> None:
    """Any lengths, any size of batch: the samples of the whole mel, within 1e-5."""
    mels = [mel_of(frames, seed) for seed, frames in enumerate(lengths)]
    made = synthesize_together(ENGINE, TINY, mels, batch_frames)
    for mel, samples in zip(mels, made, strict=True):
        expected = ENGINE.synthesize(mel[None])[0]
        assert samples.shape == expected.shape
        assert np.abs(samples - expected).max() < 1e-5


def test_too_little_context_is_noticed() -> None:
    """The test above can fail: pieces with less context give other samples."""
    mel = mel_of(200)
    expected = ENGINE.synthesize(mel[None])[0]
    lacking = cut(0, 200, context_frames(TINY) - 2)
    made = np.concatenate([kept(mel, piece) for piece in lacking])
    assert np.abs(made - expected).max() > 1e-5


def kept(mel: FloatArray, piece: MelPiece) -> FloatArray:
    """Synthesise one piece; return what is kept of it."""
    given = np.ascontiguousarray(mel[None, :, piece.start : piece.stop])
    wave: FloatArray = ENGINE.synthesize(given)[0]
    hop = TINY.hop_length
    return wave[(piece.first - piece.start) * hop : (piece.last - piece.start) * hop]


def test_batches_are_shared_and_halved() -> None:
    """Files of like lengths go together; without memory for that, in smaller batches."""
    mels = [mel_of(64, seed) for seed in range(16)]
    expected = [ENGINE.synthesize(mel[None])[0] for mel in mels]
    for most, calls in ((16, 1), (5, 4)):
        engine = Narrow(most)
        made = synthesize_together(engine, TINY, mels)
        assert engine.calls == calls
        np.testing.assert_allclose(made, expected, atol=1e-5)
    with pytest.raises(DeviceError):
        synthesize_together(Narrow(0), TINY, mels)


def test_channels_come_back_as_they_were() -> None:
    """`vocode_together` is `vocode` of each, with its channels."""
    vocoder = Vocoder(MODEL, EngineOptions("eager", device="cpu"))
    assert not vocoder.wants_batches
    mels = [np.stack([mel_of(70, 1), mel_of(70, 2)]), mel_of(90, 3)[None]]
    for mel, made in zip(mels, vocoder.vocode_together(mels), strict=True):
        np.testing.assert_allclose(made, vocoder.vocode(mel).samples, atol=1e-5)
