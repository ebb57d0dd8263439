"""The networks and losses, section by section of the paper (arXiv 2010.05646).

Read in this order:

- `generator`: section 2.2, transposed convolutions and multi-receptive-field fusion (MRF)
- `discriminators`: section 2.3, the multi-period (MPD) and multi-scale (MSD) discriminators
- `losses`: section 2.4, equations 1 to 8
- `optimized`: faster forms of the same networks, for training
- `norms`: weight norm, and folding it for inference
- `shapes`: names and shapes of an architecture's weights, and the check of a file's weights
- `model_file`: a self-contained file: weights, architecture, mel convention, digest
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazy_getattr

if TYPE_CHECKING:
    from hifigan_cli.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator
    from hifigan_cli.models.generator import Generator
    from hifigan_cli.models.model_file import ModelFile, read_model, write_model

__all__ = [
    "Generator",
    "ModelFile",
    "MultiPeriodDiscriminator",
    "MultiScaleDiscriminator",
    "read_model",
    "write_model",
]

__getattr__ = lazy_getattr(
    __name__,
    {
        "Generator": "generator",
        "ModelFile": "model_file",
        "MultiPeriodDiscriminator": "discriminators",
        "MultiScaleDiscriminator": "discriminators",
        "read_model": "model_file",
        "write_model": "model_file",
    },
)
