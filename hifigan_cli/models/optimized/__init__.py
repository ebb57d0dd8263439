"""Faster forms of the networks for training, with the same parameters and the same mathematics.

`models.generator` and `models.discriminators` follow the paper. The modules here run their
parameters with other memory layouts and fewer calls. Results are equal up to rounding:

- `generator`: the generator with contiguous channels (channels_last)
- `discriminators`: both discriminators on recordings and generated samples in one batch
- `convolutions`: strided, grouped convolutions in a fast form for the device
"""

from hifigan_cli.models.optimized.discriminators import OptimizedDiscriminators, SingularVectors
from hifigan_cli.models.optimized.generator import OptimizedGenerator

__all__ = ["OptimizedDiscriminators", "OptimizedGenerator", "SingularVectors"]
