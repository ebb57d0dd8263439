"""The solver designs a valid generator for every possible hop length."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.cli.main import run as command
from hifigan_cli.config import PRESETS, Config, preset, resolve
from hifigan_cli.config.presets import NAMES, design_for
from hifigan_cli.config.solver import (
    MAX_HOP,
    MAX_RATE,
    explain,
    find_upsample_rates,
    kernel_size_for,
    multiplications_per_s,
)
from hifigan_cli.errors import UsageError
from hifigan_cli.models.generator import Generator

SIZES = st.sampled_from(sorted(PRESETS))
EVEN_RATES = st.integers(2_000, 192_000).map(lambda half: 2 * half)
SOLVABLE = st.lists(st.integers(2, MAX_RATE), min_size=1, max_size=4).map(math.prod)


def narrow(config: Config) -> Generator:
    """Build the generator of a configuration with one channel at the end."""
    generator = config.generator
    thin = {"upsample_initial_channel": 2 ** len(generator.upsample_rates)}
    return Generator(generator.model_copy(update=thin), config.mel.n_mels, weight_norm=False)


@given(size=SIZES, sample_rate=EVEN_RATES, hop=SOLVABLE.filter(lambda hop: hop <= 2048))
@settings(max_examples=60)
def test_designed_generators_upsample_by_the_hop_length(
    size: str, sample_rate: int, hop: int
) -> None:
    """The configuration is valid, and its generator outputs frames * hop_length samples."""
    config = design_for(size, sample_rate, hop)
    assert (config.mel.sample_rate, config.mel.hop_length) == (sample_rate, hop)
    rates = config.generator.upsample_rates
    assert math.prod(rates) == hop
    assert list(rates) == sorted(rates, reverse=True)
    for rate, kernel in zip(rates, config.generator.upsample_kernel_sizes, strict=True):
        assert kernel % rate == 0
        assert (kernel - rate) % 2 == 0
    with torch.inference_mode():
        y_hat = narrow(config)(torch.zeros(1, config.mel.n_mels, 3))
    assert y_hat.shape == (1, 1, 3 * hop)


@given(hop=st.integers(2, MAX_HOP))
def test_impossible_hop_lengths_suggest_the_nearest(hop: int) -> None:
    """The hint names the nearest possible hop length on each side."""
    base = PRESETS["v2"].generator
    try:
        find_upsample_rates(base, hop)
    except UsageError as error:
        near = [int(value) for value in re.findall(r"(\d+) \(", error.hint or "")]
        assert near
        assert all(math.prod(find_upsample_rates(base, each)) == each for each in near)
        assert near[0] < hop
        for between in range(near[0] + 1, hop):
            with pytest.raises(UsageError):
                find_upsample_rates(base, between)


@pytest.mark.parametrize(
    ("sample_rate", "hop"), [(48_001, 512), (2_000, 32), (48_000, 1), (48_000, 20_000)]
)
def test_out_of_range_values_are_rejected(sample_rate: int, hop: int) -> None:
    """Sample rates and hop lengths outside the ranges are usage errors."""
    with pytest.raises(UsageError, match=f"{sample_rate}|{hop}"):
        design_for("v1", sample_rate, hop)
    with pytest.raises(UsageError, match="v1-48k"):
        design_for("v1-48k", 48_000)


def test_the_papers_hop_length_gives_the_presets() -> None:
    """From sample rate and hop length, the solver derives table 5, its window and segments."""
    for name, config in PRESETS.items():
        assert design_for(name, 22_050, 256) == config


@pytest.mark.parametrize(
    ("name", "mel", "rates", "kernels", "segment"),
    [
        ("v1-16k", (16_000, 1024, 160, 80, 8_000), (10, 4, 2, 2), (20, 8, 4, 4), 6400),
        ("v3-16k", (16_000, 1024, 160, 80, 8_000), (10, 4, 4), (20, 8, 8), 6400),
        ("v2-24k", (24_000, 1024, 256, 100, 12_000), (8, 8, 2, 2), (16, 16, 4, 4), 8192),
        ("v1-44k", (44_100, 2048, 512, 128, 22_050), (8, 8, 4, 2), (16, 16, 8, 4), 16_384),
        ("v1-48k", (48_000, 2048, 512, 128, 24_000), (8, 8, 4, 2), (16, 16, 8, 4), 16_384),
        ("v3-48k", (48_000, 2048, 512, 128, 24_000), (8, 8, 8), (16, 16, 16), 16_384),
    ],
)
def test_presets_of_other_sample_rates_are_pinned(
    name: str,
    mel: tuple[int, ...],
    rates: tuple[int, ...],
    kernels: tuple[int, ...],
    segment: int,
) -> None:
    """A change of the solver must not change presets that models are trained with."""
    config = preset(name)
    found = config.mel
    assert (
        found.sample_rate,
        found.n_fft,
        found.hop_length,
        found.n_mels,
        found.upper_edge_hz,
    ) == mel
    assert found.win_length == found.n_fft
    assert config.generator.upsample_rates == rates
    assert config.generator.upsample_kernel_sizes == kernels
    assert config.train.segment_size == segment
    paper = PRESETS[name[:2]].generator
    assert config.generator.upsample_initial_channel == paper.upsample_initial_channel
    assert config.generator.resblock_dilation_sizes == paper.resblock_dilation_sizes


@pytest.mark.parametrize("name", NAMES)
def test_presets_have_no_empty_mel_bands(name: str) -> None:
    """Every mel band contains at least one FFT bin."""
    assert bool((filterbank(preset(name).mel).sum(axis=1) > 0).all())


@given(rate=st.integers(2, MAX_RATE))
def test_kernels_cover_samples_evenly(rate: int) -> None:
    """Every output sample of the transposed convolution sums the same number of taps."""
    kernel = kernel_size_for(rate)
    up = torch.nn.ConvTranspose1d(1, 1, kernel, rate, padding=(kernel - rate) // 2, bias=False)
    torch.nn.init.ones_(up.weight)
    taps = up(torch.ones(1, 1, 9))[0, 0, 2 * rate : -2 * rate]
    assert bool((taps == kernel // rate).all())


def test_multiplications_match_torchs_count() -> None:
    """The count is within 1 % of that of torch for a forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("v2", "v3-48k"):
        config = preset(name)
        net = Generator(config.generator, config.mel.n_mels, weight_norm=False)
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            net(torch.zeros(1, config.mel.n_mels, 40))
        per_s = counter.get_total_flops() / 2 / 40 * config.mel.sample_rate / config.mel.hop_length
        assert multiplications_per_s(config) == pytest.approx(per_s, rel=0.01)


def test_explanations_mention_unusual_values() -> None:
    """Other numbers of stages, odd and large rates and unusual hop lengths are explained."""

    def explanation(hop: int) -> str:
        return "\n".join(explain(design_for("v2", 48_000, hop), PRESETS["v2"], "v2"))

    assert "8 x 8 x 4 x 2 = hop_length 512: 4 stages" in explanation(512)
    assert "odd" not in explanation(512)
    assert "unusual" not in explanation(512)
    assert "odd" in explanation(441)
    assert "upsample rate of 13" in explanation(13 * 16)
    assert "4 as in v2 do not fit" in explanation(12)
    assert "unusual" in explanation(12)


def test_config_new_writes_what_config_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, stdout and --json contain the same values, and `--config` reads the file."""
    path = tmp_path / "my.toml"
    line = [
        "config",
        "new",
        "--sample-rate",
        "48000",
        "--hop-length",
        "480",
        "-p",
        "v2",
        "-s",
        "n_mels=80",
    ]
    assert command([*line, "-o", str(path)]) == 0
    err = capsys.readouterr().err
    assert "80 mel bands" in err
    config = resolve(file=path).config
    assert config.mel.n_mels == 80
    assert config.generator == design_for("v2", 48_000, 480).generator
    assert config.train == design_for("v2", 48_000, 480).train
    assert command(line) == 0
    assert capsys.readouterr().out == path.read_text("utf-8")
    assert command([*line, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["values"]["generator"]["upsample_rates"] == [10, 6, 4, 2]
    assert command([*line, "-o", str(path)]) == 4  # the file exists


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--hop-length", "514"), "512 (8 x 8 x 4 x 2)"),
        (("--hop-length", "512", "-p", "v4"), "v1, v2, v3"),
        (("--hop-length", "512", "-s", "n_mals=3"), "n_mels?"),
        (("--hop-length", "512", "-s", "hop_length=300"), "is 512"),
    ],
)
def test_config_new_errors_suggest_a_fix(
    arguments: tuple[str, ...], fact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and a hint with the fix."""
    assert command(["config", "new", "--sample-rate", "48000", *arguments]) == 2
    assert fact in capsys.readouterr().err


def test_config_presets_lists_all_presets(capsys: pytest.CaptureFixture[str]) -> None:
    """The list contains every name that --preset accepts."""
    assert command(["config", "presets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["presets"]
    assert [row["preset"] for row in rows] == list(NAMES)
    assert rows[NAMES.index("v1-44k")]["mel"]["sample_rate"] == 44_100
    with pytest.raises(UsageError, match="v1-32k"):
        preset("v1-32k")
