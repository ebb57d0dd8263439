"""Every family's checkpoint becomes the network that it was: its samples, and the mel it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hifigan_cli.audio import Audio
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.config import GeneratorConfig, MelConfig, MelConvention, Variant
from hifigan_cli.errors import InputError
from hifigan_cli.importers.importing import ImportResult, import_checkpoint
from hifigan_cli.synthesis import Vocoder
from tests.helpers import speech
from tests.importers.foreign import CASES, Case
from tests.importers.foreign.networks import folded, normed
from tests.importers.foreign.others import statistics
from tests.importers.plain_networks import parallel_wavegan, random_state
from tests.models.reference import generate

pytestmark = pytest.mark.usefixtures("in_process")

PARITY = 1e-5


def expected(case: Case, mel: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Synthesise by the formulas: normalise, copy the ends, generate, cut the copies off."""
    if case.normalised:
        mean, scale = statistics()
        mel = (mel - mean[:, None]) / scale[:, None]
    mel = np.pad(mel, ((0, 0), (case.padding, case.padding)), mode="edge")
    padding = Variant(conv_padding="reflect" if case.reflect else "zeros")
    config = case.config.model_copy(update={"variant": padding})
    samples = generate(config, folded(normed(case.config, case.n_mels, seed)), mel)
    cut = case.padding * case.config.hop_length
    return samples[cut : len(samples) - cut]


def imported(case: Case, folder: Path, seed: int = 0, **options: Any) -> ImportResult:
    state = normed(case.config, case.n_mels, seed)
    return import_checkpoint(case.write(folder, state, **{**case.options, **options}))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_samples_are_those_of_the_formulas(tmp_path: Path, name: str, seed: int) -> None:
    """Guard names, order of blocks, slopes, paddings and statistics, for two sets of weights."""
    case = CASES[name]
    found = imported(case, tmp_path, seed)
    assert found.family == case.family
    assert found.folding_error < PARITY
    mel = np.random.default_rng(seed).normal(-3, 1, (case.n_mels, 17))
    samples = Vocoder(found.model, "cpu").vocode(mel.astype(np.float32)).samples[0]
    wanted = expected(case, mel, seed)
    assert samples.shape == wanted.shape
    assert np.abs(wanted).max() > 0.01  # the comparison is of something
    assert np.abs(samples - wanted).max() < PARITY


@pytest.mark.parametrize("name", CASES)
def test_resynthesis_computes_the_familys_mel(tmp_path: Path, name: str) -> None:
    """The mel of a recording goes through, at the model's rate, and the length is kept."""
    found = imported(CASES[name], tmp_path).model
    sample_rate, frames = found.mel.sample_rate, 40
    samples = speech(1, sample_rate)[None, : frames * found.mel.hop_length]
    vocoder = Vocoder(found, "cpu")
    again = vocoder.resynthesize(Audio(samples, sample_rate)).samples
    assert again.shape == samples.shape
    direct = vocoder.vocode(log_mel(samples, found.mel)).samples
    extra = found.mel.hop_length if found.mel.convention.center else 0
    assert direct.shape[1] == samples.shape[1] + extra
    assert np.abs(direct[:, : samples.shape[1]] - again).max() < PARITY


def test_a_mel_that_is_too_short_to_reflect(tmp_path: Path) -> None:
    """A few frames are an input error where no copies of the ends make up for it."""
    state = normed(CASES["speechbrain"].config)
    with_copies = import_checkpoint(CASES["speechbrain"].write(tmp_path, state)).model
    without = import_checkpoint(CASES["speechbrain"].write(tmp_path, state, padding="0")).model
    mel = np.full((80, 3), -3, np.float32)
    assert Vocoder(with_copies, "cpu").vocode(mel[:, :1]).samples.shape == (1, 256)
    vocoder = Vocoder(without, "cpu")
    with pytest.raises(InputError, match="3 frames") as caught:
        vocoder.vocode(mel)
    assert "at least 4" in (caught.value.hint or "")
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
        ("nemo", ADDED, {}, {**NEMO, "guard": "add", "floor": 1.0, "mel_norm": "none"}),
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
def test_the_mel_convention_travels(
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    sizes: dict[str, Any],
    convention: dict[str, Any],
) -> None:
    """Each family's mel, and what its configuration says of it, is in the model file."""
    mel = MelConfig(**sizes, convention=MelConvention(**convention))
    assert imported(CASES[name], tmp_path, **options).model.mel == mel


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("clip", [True, False])
def test_coquis_range(tmp_path: Path, symmetric: bool, clip: bool) -> None:
    """Decibels are moved into a range as Coqui's audio processor does it, step by step."""
    options = {"symmetric_norm": symmetric, "clip_norm": clip, "min_level_db": -90}
    found = imported(CASES["coqui"], tmp_path, **options).model.mel
    samples = speech(0.5)[None]
    plain = found.model_copy(
        update={"convention": MelConvention(**CENTERED, log="log10", floor=1e-8)}
    )
    level = 20 * log_mel(samples, plain).astype(np.float64) - 20
    unit = (level + 90) / 90
    wanted = 8 * unit - 4 if symmetric else 4 * unit
    if clip:
        wanted = np.clip(wanted, -4 if symmetric else 0, 4)
    assert np.abs(log_mel(samples, found) - wanted).max() < 1e-4


def test_coquis_statistics(tmp_path: Path) -> None:
    """A mean and a deviation beside the checkpoint are what the vocoder removes."""
    mean, scale = statistics()
    content = {"mel_mean": mean, "mel_std": scale, "linear_mean": mean, "audio_config": {"a": 1}}
    np.save(tmp_path / "scale_stats.npy", np.array(content))
    found = imported(CASES["coqui"], tmp_path, stats_path="scale_stats.npy")
    assert found.model.generator.variant.input_mean == tuple(mean.tolist())
    assert found.model.generator.variant.input_scale == tuple(scale.tolist())
    assert found.model.mel.convention == MelConvention(
        **CENTERED, log="log10", floor=1e-8, gain=20.0
    )
    assert found.notes


@pytest.mark.parametrize("scales", [(8, 8, 2, 2), (5, 5, 4, 3)])
@pytest.mark.parametrize("additional", [True, False])
@pytest.mark.parametrize("kernel", [7, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_parallel_wavegans_other_networks(
    tmp_path: Path, scales: tuple[int, ...], additional: bool, kernel: int, bias: bool
) -> None:
    """Odd rates, short edge kernels, layers without biases, another slope: the same samples."""
    dilations = ((1, 3, 5), (1, 3, 5)) if additional else ((1, 2), (2, 6))
    state = random_state(scales, 32, kernel, (3, 5), dilations, additional=additional, bias=bias)
    path = CASES["parallel_wavegan"].write(
        tmp_path,
        {},
        bias=bias,
        kernel_size=kernel,
        upsample_scales=list(scales),
        upsample_kernal_sizes=[2 * scale for scale in scales],
        resblock_dilations=[list(each) for each in dilations],
        use_additional_convs=additional,
        nonlinear_activation_params={"negative_slope": 0.2},
    )
    torch.save({"model": {"generator": state}}, path)
    found = import_checkpoint(path)
    mel = np.random.default_rng(3).normal(-3, 1, (80, 15)).astype(np.float32)
    mean, scale = statistics()
    given = torch.from_numpy((mel - mean[:, None]) / scale[:, None])
    wanted = parallel_wavegan(state, given, scales, dilations, slope=0.2).numpy()
    samples = Vocoder(found.model, "cpu").vocode(mel).samples[0]
    assert samples.shape == wanted.shape
    assert np.abs(wanted).max() > 0.01
    assert np.abs(samples - wanted).max() < PARITY


def test_the_shared_network_is_not_the_default() -> None:
    """Guard the guard: no file here could pass by the defaults of a configuration."""
    assert {case.config for case in CASES.values()}.isdisjoint({GeneratorConfig()})
