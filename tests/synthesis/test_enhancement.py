"""Cleaning mels block by block: the cuts do not show, limits hold, misfits are refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.audio import Audio
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.config import EnhancerConfig, MelConfig
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.interchange.locate import locate_enhancer
from hifigan_cli.models.enhancer import Enhancer
from hifigan_cli.models.enhancer import noise_floor as torch_floor
from hifigan_cli.models.enhancerfile import EnhancerFile, read_enhancer
from hifigan_cli.models.tensorfile import arrays_of
from hifigan_cli.synthesis import Vocoder, enhancement
from hifigan_cli.synthesis.cleaners import ArrayCleaner, gelu, make_cleaner, noise_floor
from hifigan_cli.synthesis.enhancement import BLOCK_FRAMES, Enhancement, reblocked
from tests.enhancing import tiny_enhancer
from tests.helpers import speech
from tests.models_for_tests import tiny_model

Mel = npt.NDArray[np.float32]


def mel_of(frames: int, seed: int = 0) -> Mel:
    """Make a log-mel `(2, 80, frames)` whose floor drifts."""
    noise = np.random.default_rng(seed).standard_normal((2, 80, frames))
    return (noise + np.linspace(-8, -4, frames)).astype(np.float32)


def plain(model: EnhancerFile, mel: Mel, floor: Mel | None = None) -> Mel:
    """Run the torch network over a whole mel."""
    given = None if floor is None else torch.from_numpy(floor)
    result: Mel = model.build()(torch.from_numpy(mel), given).numpy()
    return result


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 5 * BLOCK_FRAMES), max_size=6), seed=st.integers(0, 3))
def test_the_cuts_of_the_stream_do_not_matter(cuts: list[int], seed: int) -> None:
    """However a mel arrives, the result is the same bits."""
    stage = Enhancement(tiny_enhancer())
    mel = mel_of(5 * BLOCK_FRAMES + 77, seed)
    edges = sorted({0, *cuts, mel.shape[-1]})
    pieces = [mel[..., a:b] for a, b in itertools.pairwise(edges)]
    made = np.concatenate(list(stage.enhance_blocks(pieces)), -1)
    assert np.array_equal(made, stage.enhance(mel))


@pytest.mark.parametrize("frames", [1, 30, BLOCK_FRAMES, 2 * BLOCK_FRAMES - 1])
def test_one_block_is_the_plain_network(frames: int) -> None:
    """Below two blocks nothing is cut: the plain torch network over the whole."""
    model = tiny_enhancer(seed=1)
    mel = mel_of(frames)
    np.testing.assert_allclose(Enhancement(model).enhance(mel), plain(model, mel), atol=1e-5)


@settings(max_examples=25)
@given(
    frames=st.integers(1, 300),
    n_mels=st.integers(1, 40),
    channels=st.integers(1, 12),
    kernel=st.sampled_from([1, 3, 7]),
    dilations=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 5),
)
def test_arrays_give_what_torch_gives(
    frames: int, n_mels: int, channels: int, kernel: int, dilations: list[int], seed: int
) -> None:
    """The numpy form is the torch network, at any size; scales and norms are far from trivial."""
    config = EnhancerConfig(
        channels=channels, stem_channels=3, kernel=kernel, dilations=tuple(dilations)
    )
    torch.manual_seed(seed)
    state = Enhancer(config, n_mels).state_dict()
    weights = {key: value + 0.2 * torch.randn_like(value) for key, value in state.items()}
    model = EnhancerFile(MelConfig(n_mels=n_mels), config, arrays_of(weights))
    mel = mel_of(frames, seed)[:, :n_mels]
    floor = noise_floor(mel)
    np.testing.assert_allclose(floor, torch_floor(torch.from_numpy(mel)).numpy(), atol=1e-5)
    found = ArrayCleaner(model)(mel, floor)
    np.testing.assert_allclose(found, plain(model, mel, floor), atol=2e-5)


def test_the_enhancer_that_comes_along() -> None:
    """The shipped weights, on a mel of speech: both forms agree within 1e-5."""
    model = read_enhancer(locate_enhancer())
    mel = log_mel(speech(3.0)[None], model.mel)
    made = make_cleaner(model, "cpu")(mel, noise_floor(mel))
    assert np.abs(made - plain(model, mel)).max() < 1e-5
    assert np.abs(made - mel).max() > 0.1


@given(x=st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=30))
def test_gelu(x: list[float]) -> None:
    """The formula for the error function is good to what float32 holds."""
    values = np.array(x, np.float32)
    expected = torch.nn.functional.gelu(torch.from_numpy(values).double()).numpy()
    np.testing.assert_allclose(gelu(values), expected, atol=3e-7, rtol=3e-7)


def test_blocks_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one floor for all, blocks give what the network gives in one go."""
    model = tiny_enhancer(seed=2)
    mel = mel_of(5 * BLOCK_FRAMES + 5)
    floor = noise_floor(mel)
    monkeypatch.setattr(enhancement, "_neighbourhood_floor", lambda _window, _at: floor)
    whole = plain(model, mel, floor)
    np.testing.assert_allclose(Enhancement(model).enhance(mel), whole, atol=1e-5)


def test_the_floor_follows_a_long_recording() -> None:
    """In the middle of a drifting recording the floor lies between those of both ends."""
    stage = Enhancement(tiny_enhancer())
    blocks = list(reblocked([mel_of(6 * BLOCK_FRAMES)], BLOCK_FRAMES))
    floor = stage._floor(blocks[1:5], 1, 0, BLOCK_FRAMES)
    assert (floor[..., 1:] >= floor[..., :-1]).mean() > 0.99


@pytest.mark.parametrize("limit_db", [0.0, 6.0, 24.0])
def test_the_limit_holds(limit_db: float) -> None:
    """No band is lowered by more than the limit; 0 dB leaves nothing lowered."""
    mel = mel_of(300)
    clean = Enhancement(tiny_enhancer(), limit_db=limit_db).enhance(mel)
    lowered_db = (mel - clean).max().item() * 20 / math.log(10)
    assert lowered_db <= limit_db + 1e-4
    unlimited = Enhancement(tiny_enhancer()).enhance(mel)
    assert (mel - unlimited).max().item() * 20 / math.log(10) > 6


@given(lengths=st.lists(st.integers(0, 50), max_size=8))
def test_reblocked_keeps_every_frame(lengths: list[int]) -> None:
    """Blocks are of the size asked for, but the last, which has up to twice as many."""
    source = np.arange(sum(lengths), dtype=np.float32)[None, None]
    blocks = list(reblocked(np.split(source, np.cumsum(lengths), axis=-1), 16))
    assert sum(b.shape[-1] for b in blocks) == source.shape[-1]
    assert all(b.shape[-1] == 16 for b in blocks[:-1])
    assert all(1 <= b.shape[-1] < 32 for b in blocks[-1:])
    if blocks:
        assert np.array_equal(np.concatenate(blocks, -1), source)


def test_it_is_part_of_resynthesis() -> None:
    """`resynthesize` with an enhancement differs from without, at the same length."""
    vocoder = Vocoder(tiny_model(), "cpu")
    audio = Audio(speech(0.7)[None], 22_050)
    kept = vocoder.resynthesize(audio).samples
    cleaned = vocoder.resynthesize(audio, enhancement=Enhancement(tiny_enhancer())).samples
    assert kept.shape == cleaned.shape
    assert np.abs(kept - cleaned).max() > 1e-4


def test_misfits_are_refused(tmp_path: Path) -> None:
    """Another mel convention, and a limit below nothing."""
    stage = Enhancement(tiny_enhancer(mel=MelConfig(fmax_hz=None)))
    vocoder = Vocoder(tiny_model(), "cpu")
    with pytest.raises(ModelError, match="different mels"):
        vocoder.resynthesize(Audio(speech(0.5)[None], 22_050), enhancement=stage)
    with pytest.raises(UsageError, match="below 0"):
        Enhancement(tiny_enhancer(), limit_db=-1.0)
