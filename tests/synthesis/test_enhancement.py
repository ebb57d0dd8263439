"""Cleaning mels block by block: the cuts do not show, limits hold, misfits are refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.audio import Audio
from hifigan_cli.config import MelConfig
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.models.enhancer import noise_floor
from hifigan_cli.synthesis import Vocoder, enhancement
from hifigan_cli.synthesis.enhancement import BLOCK_FRAMES, Enhancement, reblocked
from tests.enhancing import tiny_enhancer
from tests.helpers import speech
from tests.models_for_tests import tiny_model

CPU = torch.device("cpu")


def mel_of(frames: int, seed: int = 0) -> torch.Tensor:
    """Make a log-mel `(2, 80, frames)` whose floor drifts."""
    torch.manual_seed(seed)
    drift = torch.linspace(-8, -4, frames)
    return torch.randn(2, 80, frames) + drift


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 5 * BLOCK_FRAMES), max_size=6), seed=st.integers(0, 3))
def test_the_cuts_of_the_stream_do_not_matter(cuts: list[int], seed: int) -> None:
    """However a mel arrives, the result is the same bits."""
    stage = Enhancement(tiny_enhancer(), CPU)
    mel = mel_of(5 * BLOCK_FRAMES + 77, seed)
    edges = sorted({0, *cuts, mel.shape[-1]})
    pieces = [mel[..., a:b] for a, b in itertools.pairwise(edges)]
    assert torch.equal(torch.cat(list(stage.enhance_blocks(pieces)), -1), stage.enhance(mel))


@pytest.mark.parametrize("frames", [1, 30, BLOCK_FRAMES, 2 * BLOCK_FRAMES - 1])
def test_one_block_is_the_plain_network(frames: int) -> None:
    """Below two blocks nothing is cut: the plain network over the whole."""
    model = tiny_enhancer(seed=1)
    mel = mel_of(frames)
    assert torch.equal(Enhancement(model, CPU).enhance(mel), model.build()(mel))


def test_blocks_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one floor for all, blocks give what the network gives in one go."""
    model = tiny_enhancer(seed=2)
    mel = mel_of(5 * BLOCK_FRAMES + 5)
    floor = noise_floor(mel)
    monkeypatch.setattr(enhancement, "_neighbourhood_floor", lambda _window, _at: floor)
    whole = model.build()(mel, floor)
    assert torch.allclose(Enhancement(model, CPU).enhance(mel), whole, atol=1e-5)


def test_the_floor_follows_a_long_recording() -> None:
    """In the middle of a drifting recording the floor lies between those of both ends."""
    stage = Enhancement(tiny_enhancer(), CPU)
    blocks = list(reblocked([mel_of(6 * BLOCK_FRAMES)], BLOCK_FRAMES))
    floor = stage._floor(blocks[1:5], 1, 0, BLOCK_FRAMES)
    assert (floor[..., 1:] >= floor[..., :-1]).float().mean() > 0.99


@pytest.mark.parametrize("limit_db", [0.0, 6.0, 24.0])
def test_the_limit_holds(limit_db: float) -> None:
    """No band is lowered by more than the limit; 0 dB leaves nothing lowered."""
    mel = mel_of(300)
    clean = Enhancement(tiny_enhancer(), CPU, limit_db).enhance(mel)
    lowered_db = (mel - clean).max().item() * 20 / math.log(10)
    assert lowered_db <= limit_db + 1e-4
    unlimited = Enhancement(tiny_enhancer(), CPU).enhance(mel)
    assert (mel - unlimited).max().item() * 20 / math.log(10) > 6


@given(lengths=st.lists(st.integers(0, 50), max_size=8))
def test_reblocked_keeps_every_frame(lengths: list[int]) -> None:
    """Blocks are of the size asked for, but the last, which has up to twice as many."""
    source = torch.arange(float(sum(lengths)))[None, None]
    blocks = list(reblocked(torch.split(source, lengths, dim=-1), 16))
    assert sum(b.shape[-1] for b in blocks) == source.shape[-1]
    assert all(b.shape[-1] == 16 for b in blocks[:-1])
    assert all(1 <= b.shape[-1] < 32 for b in blocks[-1:])
    if blocks:
        assert torch.equal(torch.cat(blocks, -1), source)


def test_it_is_part_of_resynthesis() -> None:
    """`resynthesize` with an enhancement differs from without, at the same length."""
    vocoder = Vocoder(tiny_model(), "cpu")
    audio = Audio(speech(0.7)[None], 22_050)
    plain = vocoder.resynthesize(audio).samples
    cleaned = vocoder.resynthesize(audio, enhancement=Enhancement(tiny_enhancer(), CPU)).samples
    assert plain.shape == cleaned.shape
    assert np.abs(plain - cleaned).max() > 1e-4


def test_misfits_are_refused(tmp_path: Path) -> None:
    """Another mel convention, and a limit below nothing."""
    stage = Enhancement(tiny_enhancer(mel=MelConfig(fmax_hz=None)), CPU)
    vocoder = Vocoder(tiny_model(), "cpu")
    with pytest.raises(ModelError, match="different mels"):
        vocoder.resynthesize(Audio(speech(0.5)[None], 22_050), enhancement=stage)
    with pytest.raises(UsageError, match="below 0"):
        Enhancement(tiny_enhancer(), CPU, -1.0)
