"""MelEnhancer: block boundaries have no effect, limits hold, other mels are errors."""

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
from hifigan_cli.enhancement import mel_enhancer
from hifigan_cli.enhancement.config import EnhancerConfig
from hifigan_cli.enhancement.inference import NumpyEnhancer, gelu, load_inference, noise_floor
from hifigan_cli.enhancement.mel_enhancer import BLOCK_FRAMES, FIRST_FRAMES, MelEnhancer, reblock
from hifigan_cli.enhancement.model_file import EnhancerFile, read_enhancer
from hifigan_cli.enhancement.network import Enhancer
from hifigan_cli.enhancement.network import noise_floor as torch_floor
from hifigan_cli.enhancement.stages import Enhancement, locate_enhancer
from hifigan_cli.errors import ModelError
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.types import FloatArray
from tests.enhancement.helpers import enhance_mel, tiny_enhancer
from tests.helpers import speech
from tests.models_for_tests import tiny_model


def mel_of(frames: int, seed: int = 0) -> FloatArray:
    """Generate a log-mel `(2, 80, frames)` with a rising noise floor."""
    noise = np.random.default_rng(seed).standard_normal((2, 80, frames))
    return (noise + np.linspace(-8, -4, frames)).astype(np.float32)


def run_network(
    model: EnhancerFile, mel: FloatArray, floor: FloatArray | None = None
) -> FloatArray:
    """Run the torch network on a complete mel, in float64, so that only numpy's rounding counts."""
    floor_tensor = None if floor is None else torch.from_numpy(floor).double()
    result: FloatArray = (
        model.build().double()(torch.from_numpy(mel).double(), floor_tensor).numpy()
    )
    return result


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 5 * BLOCK_FRAMES), max_size=6), seed=st.integers(0, 3))
def test_result_does_not_depend_on_blocks(cuts: list[int], seed: int) -> None:
    """The result is bit-identical for any split of the mel into blocks."""
    stage = MelEnhancer(tiny_enhancer())
    mel = mel_of(5 * BLOCK_FRAMES + 77, seed)
    edges = sorted({0, *cuts, mel.shape[-1]})
    pieces = [mel[..., a:b] for a, b in itertools.pairwise(edges)]
    enhanced = np.concatenate(list(stage.enhance_blocks(pieces)), -1)
    assert np.array_equal(enhanced, enhance_mel(stage, mel))


@pytest.mark.parametrize("frames", [90, FIRST_FRAMES, 2 * FIRST_FRAMES, 3 * FIRST_FRAMES - 1])
def test_two_blocks_equal_the_network(frames: int) -> None:
    """From one to nine seconds, the noise floor is that of the complete mel."""
    model = tiny_enhancer(seed=1)
    mel = mel_of(frames)
    np.testing.assert_allclose(
        enhance_mel(MelEnhancer(model), mel), run_network(model, mel), atol=1e-5
    )


@settings(max_examples=25)
@given(
    frames=st.integers(1, 300),
    n_mels=st.integers(1, 40),
    channels=st.integers(1, 12),
    kernel=st.sampled_from([1, 3, 7]),
    dilations=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 5),
)
def test_numpy_equals_torch(
    frames: int, n_mels: int, channels: int, kernel: int, dilations: list[int], seed: int
) -> None:
    """Both give the same mel for any size, with random scales and norms."""
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
    result = NumpyEnhancer(model)(mel, floor)
    np.testing.assert_allclose(result, run_network(model, mel, floor), atol=2e-5)


def test_bundled_enhancer() -> None:
    """With the bundled weights, on a mel of speech, numpy and torch agree within 1e-5."""
    model = read_enhancer(locate_enhancer())
    mel = log_mel(speech(3.0)[None], model.mel)
    clean = load_inference(model, "cpu")(mel, noise_floor(mel))
    assert np.abs(clean - run_network(model, mel)).max() < 1e-5
    assert np.abs(clean - mel).max() > 0.1


@given(x=st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=30))
def test_gelu(x: list[float]) -> None:
    """The formula for the error function is as precise as float32."""
    values = np.array(x, np.float32)
    expected = torch.nn.functional.gelu(torch.from_numpy(values).double()).numpy()
    np.testing.assert_allclose(gelu(values), expected, atol=3e-7, rtol=3e-7)


def test_blocks_equal_the_network_with_one_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same noise floor for all blocks, they equal one run of the network."""
    model = tiny_enhancer(seed=2)
    mel = mel_of(5 * BLOCK_FRAMES + 5)
    floor = noise_floor(mel)
    monkeypatch.setattr(mel_enhancer, "noise_floor", lambda _mel: floor)
    expected = run_network(model, mel, floor)
    np.testing.assert_allclose(enhance_mel(MelEnhancer(model), mel), expected, atol=1e-5)


def test_floor_follows_a_long_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the level rises, the floor rises without jumps, also between blocks."""
    floors = []

    def infer(noisy: FloatArray, floor: FloatArray) -> FloatArray:
        floors.append(np.broadcast_to(floor, noisy.shape))
        return noisy

    stage = MelEnhancer(tiny_enhancer())
    monkeypatch.setattr(stage, "_infer", infer)
    mel = mel_of(6 * BLOCK_FRAMES)
    drifting = mel - mel.mean() + np.linspace(-8, -4, mel.shape[-1], dtype=np.float32)
    enhance_mel(stage, drifting)
    context = stage.model.enhancer.context_frames
    inner = [floor[..., context:-context] for floor in floors[3:-1]]
    drift = np.diff(np.concatenate(inner, axis=-1), axis=-1)
    assert drift.mean() > 0
    assert np.abs(drift).max() < 0.01


@pytest.mark.parametrize("attenuation_limit_db", [0.0, 6.0, 24.0])
@pytest.mark.parametrize("frames", [40, 300])
def test_limit_is_relative_to_the_recorded_mel(attenuation_limit_db: float, frames: int) -> None:
    """No band falls by more than the limit below the mel before the filter, if there is one.

    At 0 dB no band falls.
    """

    def lowered_db(low: FloatArray, high: FloatArray) -> float:
        return float((high - low).max()) * 20 / math.log(10)

    stage = MelEnhancer(tiny_enhancer())
    filtered = mel_of(frames)
    recorded = filtered + np.float32(0.5)
    short = frames < 86
    [enhanced] = stage.enhance_blocks(
        [filtered], attenuation_limit_db=attenuation_limit_db, short=short
    )
    assert lowered_db(enhanced, filtered) <= attenuation_limit_db + 1e-4
    [after] = stage.enhance_blocks([filtered], [recorded], attenuation_limit_db, short=short)
    assert lowered_db(after, recorded) <= attenuation_limit_db + 1e-4
    assert np.array_equal(after, np.maximum(enhance_mel(stage, filtered, short=short), after))
    if frames > 100:
        assert lowered_db(enhance_mel(stage, filtered), filtered) > 6


@given(
    frames=st.integers(1, 86),
    pattern=st.sampled_from(["noise", "steady", "quiet", "loud first"]),
    seed=st.integers(0, 5),
)
def test_level_of_short_mels_is_preserved(frames: int, pattern: str, seed: int) -> None:
    """A mel of less than a second loses at most 0.2 dB."""
    model = tiny_enhancer(seed)
    mel = mel_of(frames, seed)
    if pattern == "steady":
        mel = np.repeat(mel[..., :1], frames, axis=-1)
    elif pattern == "quiet":
        mel = np.full_like(mel, math.log(1e-5))
    elif pattern == "loud first":
        mel[..., 0] += 6
    stage = MelEnhancer(model)
    before, after = (
        (np.exp(2 * m.astype(np.float64)) * stage._widths).sum((1, 2))
        for m in (mel, enhance_mel(stage, mel, short=True))
    )
    assert (10 * np.log10(after / before) >= -0.21).all()


@given(lengths=st.lists(st.integers(0, 120), max_size=8))
def test_reblock_keeps_every_frame(lengths: list[int]) -> None:
    """Two short blocks, then longer ones up to a limit; the remainder is part of the last."""
    source = np.arange(sum(lengths), dtype=np.float32)[None, None]
    blocks = list(reblock(np.split(source, np.cumsum(lengths), axis=-1), 16, 64))
    assert sum(b.shape[-1] for b in blocks) == source.shape[-1]
    expected = [16, 16, 32, *(len(blocks) * [64])]
    assert [b.shape[-1] for b in blocks[:-1]] == expected[: max(0, len(blocks) - 1)]
    if len(blocks) > 1:
        assert 16 <= blocks[-1].shape[-1] < expected[len(blocks) - 1] + 16
    if blocks:
        assert np.array_equal(np.concatenate(blocks, -1), source)


def test_resynthesize_uses_the_enhancer() -> None:
    """The result has the same length and differs from that without an enhancer."""
    vocoder = Vocoder(tiny_model(), "cpu")
    audio = Audio(speech(0.7)[None], 22_050)
    plain = vocoder.resynthesize(audio).samples
    stage = Enhancement(mel_enhancer=MelEnhancer(tiny_enhancer()))
    enhanced = vocoder.resynthesize(audio, enhancement=stage).samples
    assert plain.shape == enhanced.shape
    assert np.abs(plain - enhanced).max() > 1e-4


def test_vocoder_with_another_mel_is_an_error() -> None:
    """The hint contains `--enhance filter`."""
    stage = Enhancement(mel_enhancer=MelEnhancer(tiny_enhancer(mel=MelConfig(fmax=None))))
    vocoder = Vocoder(tiny_model(), "cpu")
    with pytest.raises(ModelError) as error:
        vocoder.resynthesize(Audio(speech(0.5)[None], 22_050), enhancement=stage)
    assert "--enhance filter" in (error.value.hint or "")
