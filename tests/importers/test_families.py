"""Imported models give the samples and the mel of every family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hifigan_cli.audio import Audio
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.config import GeneratorConfig, GeneratorVariant, MelConfig, MelConvention
from hifigan_cli.errors import InputError
from hifigan_cli.importers.importing import ImportResult, import_checkpoint
from hifigan_cli.synthesis import Vocoder
from tests.helpers import speech
from tests.importers.foreign import CASES, FamilyCase
from tests.importers.foreign.networks import folded, weight_normed_state
from tests.importers.foreign.other_families import statistics
from tests.importers.parallel_wavegan_reference import random_state, synthesize_parallel_wavegan
from tests.models.reference import generate

pytestmark = pytest.mark.usefixtures("in_process")

TOLERANCE = 1e-5


def reference_samples(
    case: FamilyCase, mel: npt.NDArray[np.float64], seed: int
) -> npt.NDArray[np.float64]:
    """Synthesize with the reference: normalize, pad, generate, and cut the padding off."""
    if case.normalized:
        mean, scale = statistics()
        mel = (mel - mean[:, None]) / scale[:, None]
    mel = np.pad(mel, ((0, 0), (case.padding, case.padding)), mode="edge")
    padding = GeneratorVariant(conv_padding="reflect" if case.reflect else "zeros")
    config = case.config.model_copy(update={"variant": padding})
    samples = generate(config, folded(weight_normed_state(case.config, case.n_mels, seed)), mel)
    cut = case.padding * case.config.hop_length
    return samples[cut : len(samples) - cut]


def write_and_import(case: FamilyCase, folder: Path, seed: int = 0, **options: Any) -> ImportResult:
    state = weight_normed_state(case.config, case.n_mels, seed)
    return import_checkpoint(case.write(folder, state, **{**case.options, **options}))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_samples_match_the_reference(tmp_path: Path, name: str, seed: int) -> None:
    """This covers names, order of blocks, slopes, paddings and statistics."""
    case = CASES[name]
    result = write_and_import(case, tmp_path, seed)
    assert result.family == case.family
    assert result.folding_error < TOLERANCE
    mel = np.random.default_rng(seed).normal(-3, 1, (case.n_mels, 17))
    samples = Vocoder(result.model, "cpu").vocode(mel.astype(np.float32)).samples[0]
    expected = reference_samples(case, mel, seed)
    assert samples.shape == expected.shape
    assert np.abs(expected).max() > 0.01  # not silence
    assert np.abs(samples - expected).max() < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_resynthesis_computes_the_mel_of_the_family(tmp_path: Path, name: str) -> None:
    """Resynthesis equals vocoding the mel of the recording, and preserves the length."""
    model = write_and_import(CASES[name], tmp_path).model
    sample_rate, frames = model.mel.sample_rate, 40
    samples = speech(1, sample_rate)[None, : frames * model.mel.hop_length]
    vocoder = Vocoder(model, "cpu")
    resynthesized = vocoder.resynthesize(Audio(samples, sample_rate)).samples
    assert resynthesized.shape == samples.shape
    vocoded = vocoder.vocode(log_mel(samples, model.mel)).samples
    extra = model.mel.hop_length if model.mel.convention.center else 0
    assert vocoded.shape[1] == samples.shape[1] + extra
    assert np.abs(vocoded[:, : samples.shape[1]] - resynthesized).max() < TOLERANCE


def test_mel_too_short_for_reflection_padding(tmp_path: Path) -> None:
    """Without inference padding, fewer than 4 frames are an InputError."""
    state = weight_normed_state(CASES["speechbrain"].config)
    padded = import_checkpoint(CASES["speechbrain"].write(tmp_path, state)).model
    unpadded = import_checkpoint(CASES["speechbrain"].write(tmp_path, state, padding="0")).model
    mel = np.full((80, 3), -3, np.float32)
    assert Vocoder(padded, "cpu").vocode(mel[:, :1]).samples.shape == (1, 256)
    vocoder = Vocoder(unpadded, "cpu")
    with pytest.raises(InputError, match="3") as caught:
        vocoder.vocode(mel)
    assert "4" in (caught.value.hint or "")
    assert vocoder.vocode(np.full((80, 4), -3, np.float32)).samples.shape == (1, 1024)


CENTERED = {"center": True, "magnitude_epsilon": 0.0}
NEMO = {"pad_mode": "constant", "periodic_window": False, "magnitude_epsilon": 0.0}
ADDED = {"log_zero_guard_type": "add", "log_zero_guard_value": 1.0, "mel_norm": None}
LINEAR = {"signal_norm": False, "log_func": "np.log", "spec_gain": 1}
BAND = {"fmin": 80, "fmax": 7600}
LOG10 = {**CENTERED, "log": "log10", "floor": 1e-10}


@pytest.mark.parametrize(
    ("name", "options", "sizes", "convention"),
    [
        ("nvidia", {}, {}, {}),
        ("nemo", {}, {}, NEMO),
        ("nemo", ADDED, {}, {**NEMO, "floor_mode": "add", "floor": 1.0, "mel_norm": "none"}),
        ("speechbrain", {}, {}, CENTERED),
        (
            *("speechbrain", {"mel_scale": "htk", "norm": "null"}),
            *({}, {**CENTERED, "mel_scale": "htk", "mel_norm": "none"}),
        ),
        ("parallel_wavegan", {}, BAND, LOG10),
        (
            *("espnet", {"log_base": None}),
            *(BAND, {"center": True, "magnitude_epsilon": 1e-10, "floor": 1e-10}),
        ),
        ("transformers", {}, {**BAND, "sample_rate": 16_000}, LOG10),
        ("coqui", LINEAR, {**BAND, "fmin": 50}, {**CENTERED, "floor": 1e-8}),
        (
            *("bshall", {}, {"sample_rate": 16_000, "hop_length": 160, "n_mels": 128}),
            {"magnitude_epsilon": 0.0},
        ),
        ("everyvoice", {}, {}, {"center": True}),
        ("everyvoice", {"spec_type": "mel"}, {}, {**CENTERED, "power": 2, "mel_scale": "htk"}),
    ],
)
def test_mel_convention_is_imported(
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    sizes: dict[str, Any],
    convention: dict[str, Any],
) -> None:
    """The model has the mel of the family, with the settings of its configuration."""
    mel = MelConfig(**sizes, convention=MelConvention(**convention))
    assert write_and_import(CASES[name], tmp_path, **options).model.mel == mel


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("clip", [True, False])
def test_coqui_range(tmp_path: Path, symmetric: bool, clip: bool) -> None:
    """Decibels are scaled into a range like in Coqui's audio processor."""
    options = {"symmetric_norm": symmetric, "clip_norm": clip, "min_level_db": -90}
    config = write_and_import(CASES["coqui"], tmp_path, **options).model.mel
    samples = speech(0.5)[None]
    unscaled = config.model_copy(
        update={"convention": MelConvention(**CENTERED, log="log10", floor=1e-8)}
    )
    level_db = 20 * log_mel(samples, unscaled).astype(np.float64) - 20
    unit = (level_db + 90) / 90
    expected = 8 * unit - 4 if symmetric else 4 * unit
    if clip:
        expected = np.clip(expected, -4 if symmetric else 0, 4)
    assert np.abs(log_mel(samples, config) - expected).max() < 1e-4


def test_coqui_statistics(tmp_path: Path) -> None:
    """The vocoder normalizes with the mean and deviation of the statistics file."""
    mean, scale = statistics()
    content = {"mel_mean": mean, "mel_std": scale, "linear_mean": mean, "audio_config": {"a": 1}}
    np.save(tmp_path / "scale_stats.npy", np.array(content))
    result = write_and_import(CASES["coqui"], tmp_path, stats_path="scale_stats.npy")
    assert result.model.generator.variant.input_mean == tuple(mean.tolist())
    assert result.model.generator.variant.input_scale == tuple(scale.tolist())
    assert result.model.mel.convention == MelConvention(
        **CENTERED, log="log10", floor=1e-8, gain=20.0
    )
    assert result.notes


@pytest.mark.parametrize("scales", [(8, 8, 2, 2), (5, 5, 4, 3)])
@pytest.mark.parametrize("additional", [True, False])
@pytest.mark.parametrize("kernel", [7, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_parallel_wavegan_architectures(
    tmp_path: Path, scales: tuple[int, ...], additional: bool, kernel: int, bias: bool
) -> None:
    """Odd rates, short edge kernels, missing biases and another slope give the same samples."""
    dilations = ((1, 3, 5), (1, 3, 5)) if additional else ((1, 2), (2, 6))
    state = random_state(scales, 32, kernel, (3, 5), dilations, additional=additional, bias=bias)
    path = CASES["parallel_wavegan"].write(
        tmp_path,
        {},
        bias=bias,
        kernel_size=kernel,
        upsample_scales=list(scales),
        upsample_kernal_sizes=[2 * scale for scale in scales],
        resblock_dilations=[list(block) for block in dilations],
        use_additional_convs=additional,
        nonlinear_activation_params={"negative_slope": 0.2},
    )
    torch.save({"model": {"generator": state}}, path)
    model = import_checkpoint(path).model
    mel = np.random.default_rng(3).normal(-3, 1, (80, 15)).astype(np.float32)
    mean, scale = statistics()
    normalized = torch.from_numpy((mel - mean[:, None]) / scale[:, None])
    expected = synthesize_parallel_wavegan(state, normalized, scales, dilations, slope=0.2).numpy()
    samples = Vocoder(model, "cpu").vocode(mel).samples[0]
    assert samples.shape == expected.shape
    assert np.abs(expected).max() > 0.01
    assert np.abs(samples - expected).max() < TOLERANCE


def test_cases_do_not_use_the_default_architecture() -> None:
    """A case with the default architecture could pass although its configuration is not read."""
    assert {case.config for case in CASES.values()}.isdisjoint({GeneratorConfig()})
