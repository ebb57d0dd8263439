"""The same networks, arranged for speed in training: their parameters, their mathematics.

`generator` and `discriminators` beside this folder are the paper's, plain. What lies here runs
their parameters through other orders of memory and fewer calls, equal up to rounding:

- `generator`: the generator, its channels side by side in memory
- `convolutions`: one strided, grouped convolution, as the processor likes it
- `discriminators`: both discriminators on real and generated samples at once
- `spectral`: spectral norm for several passes at once
"""

from hifigan_cli.models.optimized.discriminators import OptimizedDiscriminators
from hifigan_cli.models.optimized.generator import OptimizedGenerator
from hifigan_cli.models.optimized.spectral import Vectors

__all__ = ["OptimizedDiscriminators", "OptimizedGenerator", "Vectors"]
