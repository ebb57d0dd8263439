"""The paper's three generators (appendix A.1, table 5), and the same for other rates.

All values that are not named here are the defaults. `v1-48k` is V1 for 48 kHz, designed by the
rules of `solver`; the hops are those in use.
"""

from __future__ import annotations

from hifigan_cli.config.schema import Config, GeneratorConfig
from hifigan_cli.config.solver import design
from hifigan_cli.errors import UsageError, closest

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
# The highest mel_l1_full of a model of each class: a threshold of `evaluation`, and what a training
# forecasts.
MEL_L1_FULL_LIMITS = {"v1": 0.23, "v2": 0.335, "v3": 0.36}
# Rate in Hz and hop in samples: 10 ms at 16 kHz, as recognisers have it; powers of two elsewhere.
RATES: dict[str, tuple[int, int]] = {
    "16k": (16_000, 160),
    "24k": (24_000, 256),
    "44k": (44_100, 512),
    "48k": (48_000, 512),
}
NAMES = (*PRESETS, *(f"{name}-{rate}" for rate in RATES for name in PRESETS))


def preset(name: str) -> Config:
    """Return the preset `v1`, `v2` or `v3`, or one of another rate: `v1-16k` to `v3-48k`.

    Raises:
        UsageError: there is no preset of that name.
    """
    if name not in NAMES:
        hint = closest(name, NAMES) or f"one of: {', '.join(NAMES)}"
        raise UsageError(f"unknown preset {name!r}", hint)
    paper, _, rate = name.partition("-")
    return design_for(paper, *RATES[rate]) if rate else PRESETS[paper]


def design_for(name: str, sample_rate: int, hop_length: int | None = None) -> Config:
    """Make one of the paper's three for another rate, in Hz, and hop; None: the usual one.

    Raises:
        UsageError: it is none of the three, or no upsample rates make this hop.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown size {name!r}", f"one of: {', '.join(PRESETS)}")
    return design(PRESETS[name], sample_rate, hop_length or usual_hop(sample_rate))


def usual_hop(sample_rate: int) -> int:
    """Return the hop, in samples, that the presets near a rate have."""
    if sample_rate >= 32_000:
        return RATES["48k"][1]
    return RATES["24k"][1] if sample_rate > 16_000 else RATES["16k"][1]
