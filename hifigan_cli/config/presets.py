"""The paper's three generators (appendix A.1, table 5). All other values are the defaults."""

from __future__ import annotations

from hifigan_cli.config.schema import Config, GeneratorConfig
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


def preset(name: str) -> Config:
    """Return the preset `v1`, `v2` or `v3`.

    Raises:
        UsageError: there is no preset of that name.
    """
    if name not in PRESETS:
        hint = closest(name, PRESETS) or f"one of: {', '.join(PRESETS)}"
        raise UsageError(f"unknown preset {name!r}", hint)
    return PRESETS[name]
