"""Restoring mels block by block: the cuts do not show, limits hold, misfits are refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.audio import Audio
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement import restorer
from hifigan_cli.enhancement.config import EnhancerConfig
from hifigan_cli.enhancement.inference import NumpyEnhancer, gelu, load_inference, noise_floor
from hifigan_cli.enhancement.model_file import EnhancerFile, read_enhancer
from hifigan_cli.enhancement.network import Enhancer
from hifigan_cli.enhancement.network import noise_floor as torch_floor
from hifigan_cli.enhancement.restorer import BLOCK_FRAMES, FIRST_FRAMES, Restorer, reblocked
from hifigan_cli.enhancement.stages import Enhancement, locate_enhancer
from hifigan_cli.errors import ModelError
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.types import FloatArray
from tests.enhancement.small import restore_mel, tiny_enhancer
from tests.helpers import speech
from tests.models_for_tests import tiny_model


def mel_of(frames: int, seed: int = 0) -> FloatArray:
    """Make a log-mel `(2, 80, frames)` whose floor drifts."""
    noise = np.random.default_rng(seed).standard_normal((2, 80, frames))
    return (noise + np.linspace(-8, -4, frames)).astype(np.float32)


def plain(model: EnhancerFile, mel: FloatArray, floor: FloatArray | None = None) -> FloatArray:
    """Run the torch network over a whole mel."""
    given = None if floor is None else torch.from_numpy(floor)
    result: FloatArray = model.build()(torch.from_numpy(mel), given).numpy()
    return result


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 5 * BLOCK_FRAMES), max_size=6), seed=st.integers(0, 3))
def test_the_cuts_of_the_stream_do_not_matter(cuts: list[int], seed: int) -> None:
    """However a mel arrives, the result is the same bits."""
    stage = Restorer(tiny_enhancer())
    mel = mel_of(5 * BLOCK_FRAMES + 77, seed)
    edges = sorted({0, *cuts, mel.shape[-1]})
    pieces = [mel[..., a:b] for a, b in itertools.pairwise(edges)]
    made = np.concatenate(list(stage.restore_blocks(pieces)), -1)
    assert np.array_equal(made, restore_mel(stage, mel))


@pytest.mark.parametrize("frames", [90, FIRST_FRAMES, 2 * FIRST_FRAMES, 3 * FIRST_FRAMES - 1])
def test_two_blocks_are_the_plain_network(frames: int) -> None:
    """From a second to nine, the floor is that of the whole: the plain torch network over it."""
    model = tiny_enhancer(seed=1)
    mel = mel_of(frames)
    np.testing.assert_allclose(restore_mel(Restorer(model), mel), plain(model, mel), atol=1e-5)


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
    found = NumpyEnhancer(model)(mel, floor)
    np.testing.assert_allclose(found, plain(model, mel, floor), atol=2e-5)


def test_the_enhancer_that_comes_along() -> None:
    """The shipped weights, on a mel of speech: both forms agree within 1e-5."""
    model = read_enhancer(locate_enhancer())
    mel = log_mel(speech(3.0)[None], model.mel)
    made = load_inference(model, "cpu")(mel, noise_floor(mel))
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
    monkeypatch.setattr(restorer, "noise_floor", lambda _mel: floor)
    whole = plain(model, mel, floor)
    np.testing.assert_allclose(restore_mel(Restorer(model), mel), whole, atol=1e-5)


def test_the_floor_follows_a_long_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a drifting recording it rises without jumps, from block to block too."""
    floors = []

    def infer(noisy: FloatArray, floor: FloatArray) -> FloatArray:
        floors.append(np.broadcast_to(floor, noisy.shape))
        return noisy

    stage = Restorer(tiny_enhancer())
    monkeypatch.setattr(stage, "_infer", infer)
    mel = mel_of(6 * BLOCK_FRAMES)
    drifting = mel - mel.mean() + np.linspace(-8, -4, mel.shape[-1], dtype=np.float32)
    restore_mel(stage, drifting)
    context = stage.model.enhancer.context_frames
    inner = [floor[..., context:-context] for floor in floors[3:-1]]
    drift = np.diff(np.concatenate(inner, axis=-1), axis=-1)
    assert drift.mean() > 0
    assert np.abs(drift).max() < 0.01


@pytest.mark.parametrize("limit_db", [0.0, 6.0, 24.0])
@pytest.mark.parametrize("frames", [40, 300])
def test_the_limit_counts_from_the_recording(limit_db: float, frames: int) -> None:
    """No band is lowered by more than the limit, below the mel before the filter where it is given.

    0 dB leaves nothing lowered.
    """

    def lowered_db(low: FloatArray, high: FloatArray) -> float:
        return float((high - low).max()) * 20 / math.log(10)

    stage = Restorer(tiny_enhancer())
    filtered = mel_of(frames)
    recorded = filtered + np.float32(0.5)
    short = frames < 86
    [alone] = stage.restore_blocks([filtered], limit_db=limit_db, short=short)
    assert lowered_db(alone, filtered) <= limit_db + 1e-4
    [after] = stage.restore_blocks([filtered], [recorded], limit_db, short=short)
    assert lowered_db(after, recorded) <= limit_db + 1e-4
    assert np.array_equal(after, np.maximum(restore_mel(stage, filtered, short=short), after))
    if frames > 100:
        assert lowered_db(restore_mel(stage, filtered), filtered) > 6


@given(
    frames=st.integers(1, 86),
    pattern=st.sampled_from(["noise", "steady", "quiet", "loud first"]),
    seed=st.integers(0, 5),
)
def test_short_mels_hold_their_level(frames: int, pattern: str, seed: int) -> None:
    """Whatever the network does with less than a second, 0.2 dB is the most that is lost."""
    model = tiny_enhancer(seed)
    mel = mel_of(frames, seed)
    if pattern == "steady":
        mel = np.repeat(mel[..., :1], frames, axis=-1)
    elif pattern == "quiet":
        mel = np.full_like(mel, math.log(1e-5))
    elif pattern == "loud first":
        mel[..., 0] += 6
    stage = Restorer(model)
    before, after = (
        (np.exp(2 * m.astype(np.float64)) * stage._widths).sum((1, 2))
        for m in (mel, restore_mel(stage, mel, short=True))
    )
    assert (10 * np.log10(after / before) >= -0.21).all()


@given(lengths=st.lists(st.integers(0, 120), max_size=8))
def test_reblocked_keeps_every_frame(lengths: list[int]) -> None:
    """Two short blocks, then longer ones up to a limit; what is left at the end joins the last."""
    source = np.arange(sum(lengths), dtype=np.float32)[None, None]
    blocks = list(reblocked(np.split(source, np.cumsum(lengths), axis=-1), 16, 64))
    assert sum(b.shape[-1] for b in blocks) == source.shape[-1]
    wanted = [16, 16, 32, *(len(blocks) * [64])]
    assert [b.shape[-1] for b in blocks[:-1]] == wanted[: max(0, len(blocks) - 1)]
    if len(blocks) > 1:
        assert 16 <= blocks[-1].shape[-1] < wanted[len(blocks) - 1] + 16
    if blocks:
        assert np.array_equal(np.concatenate(blocks, -1), source)


def test_it_is_part_of_resynthesis() -> None:
    """`resynthesize` with a restorer differs from without, at the same length."""
    vocoder = Vocoder(tiny_model(), "cpu")
    audio = Audio(speech(0.7)[None], 22_050)
    kept = vocoder.resynthesize(audio).samples
    stage = Enhancement(restorer=Restorer(tiny_enhancer()))
    restored = vocoder.resynthesize(audio, enhancement=stage).samples
    assert kept.shape == restored.shape
    assert np.abs(kept - restored).max() > 1e-4


def test_misfits_are_refused() -> None:
    """A vocoder that reads another mel."""
    stage = Enhancement(restorer=Restorer(tiny_enhancer(mel=MelConfig(fmax=None))))
    vocoder = Vocoder(tiny_model(), "cpu")
    with pytest.raises(ModelError, match="different mels"):
        vocoder.resynthesize(Audio(speech(0.5)[None], 22_050), enhancement=stage)
