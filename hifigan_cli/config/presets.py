"""The paper's three generators (appendix A.1, table 5), and the same for other sample rates.

Values that are not listed here are the defaults. `v1-48k` is V1 for 48 kHz, designed by `solver`
with a common hop length.
"""

from __future__ import annotations

from hifigan_cli.config.schema import Config, GeneratorConfig
from hifigan_cli.config.solver import design
from hifigan_cli.errors import UsageError, did_you_mean

PRESETS: dict[str, Config] = {
    "v1": Config(generator=GeneratorConfig()),
    "v2": Config(generator=GeneratorConfig(upsample_initial_channel=128)),
    "v3": Config(
        generator=GeneratorConfig(
            resblock=2,
            upsample_rates=(8, 8, 4),
            upsample_kernel_sizes=(16, 16, 8),
            upsample_initial_channel=256,
            resblock_kernel_sizes=(3, 5, 7),
            resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
        )
    ),
}
# The highest mel_l1_full of a model of each preset: a threshold of `evaluation`, and the target of
# the training forecast.
MEL_L1_FULL_LIMITS = {"v1": 0.23, "v2": 0.335, "v3": 0.36}
# Sample rate in Hz and hop length: 10 ms at 16 kHz, as in speech recognition, else powers of two.
RATES: dict[str, tuple[int, int]] = {
    "16k": (16_000, 160),
    "24k": (24_000, 256),
    "44k": (44_100, 512),
    "48k": (48_000, 512),
}
NAMES = (*PRESETS, *(f"{name}-{rate}" for rate in RATES for name in PRESETS))


def preset(name: str) -> Config:
    """Return the preset `v1`, `v2` or `v3`, or one of another sample rate: `v1-16k` to `v3-48k`.

    Raises:
        UsageError: there is no preset of that name.
    """
    if name not in NAMES:
        hint = did_you_mean(name, NAMES) or f"one of: {', '.join(NAMES)}"
        raise UsageError(f"unknown preset {name!r}", hint)
    paper, _, rate = name.partition("-")
    return design_for(paper, *RATES[rate]) if rate else PRESETS[paper]


def design_for(name: str, sample_rate: int, hop_length: int | None = None) -> Config:
    """Design V1, V2 or V3 for another sample rate (Hz) and hop length (None: the default one).

    Raises:
        UsageError: the name is not one of the three, or no upsample rates fit the hop length.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", f"one of: {', '.join(PRESETS)}")
    return design(PRESETS[name], sample_rate, hop_length or default_hop(sample_rate))


def default_hop(sample_rate: int) -> int:
    """Return the hop length of the presets near a sample rate (Hz)."""
    if sample_rate >= 32_000:
        return RATES["48k"][1]
    return RATES["24k"][1] if sample_rate > 16_000 else RATES["16k"][1]
