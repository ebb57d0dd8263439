"""Configuration of models and training: frozen pydantic models that validate their values.

Read in this order:

- `conventions`: strict number types; how mels and generators of other toolkits differ
- `schema`: `MelConfig`, `GeneratorConfig` and `TrainConfig`, which form a `Config`
- `architecture`: constants of the network; the receptive field in frames
- `solver`: upsample rates, kernels and a mel for any sample rate and hop length
- `presets`: the paper's V1, V2 and V3 (appendix A.1), and the same for other sample rates
- `files`: TOML files, and the official config.json
- `resolve`: option > HIFIGAN_* variable > --config file > preset > default, with sources
"""

from hifigan_cli.config.conventions import GeneratorVariant, MelConvention
from hifigan_cli.config.presets import PRESETS, preset
from hifigan_cli.config.resolve import ResolvedConfig, resolve
from hifigan_cli.config.schema import Config, GeneratorConfig, MelConfig, TrainConfig, VocoderConfig

__all__ = [
    "PRESETS",
    "Config",
    "GeneratorConfig",
    "GeneratorVariant",
    "MelConfig",
    "MelConvention",
    "ResolvedConfig",
    "TrainConfig",
    "VocoderConfig",
    "preset",
    "resolve",
]
