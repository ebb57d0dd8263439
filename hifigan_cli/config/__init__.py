"""What a model is and how it is trained, as frozen dataclasses that check themselves.

Read in this order:

- `conventions`: strict, bounded, finite values; how models of other tools differ
- `schema`: `MelConfig`, `GeneratorConfig`, `TrainConfig`, together a `Config`
- `architecture`: what no configuration changes: slopes, edge kernels; the context of a frame
- `solver`: upsample rates, kernels and a mel for any rate and hop, and why those
- `presets`: the paper's V1, V2 and V3 (appendix A.1), and the same for other rates
- `resolve`: option > HIFIGAN_* variable > --config file > preset > default, with sources
"""

from hifigan_cli.config.conventions import MelConvention, Variant
from hifigan_cli.config.presets import PRESETS, preset
from hifigan_cli.config.resolve import Resolved, resolve
from hifigan_cli.config.schema import Config, GeneratorConfig, MelConfig, TrainConfig, VocoderConfig

__all__ = [
    "PRESETS",
    "Config",
    "GeneratorConfig",
    "MelConfig",
    "MelConvention",
    "Resolved",
    "TrainConfig",
    "Variant",
    "VocoderConfig",
    "preset",
    "resolve",
]
