"""The same networks, arranged for speed in training: their parameters, their mathematics.

`models.generator` and `models.discriminators` are the paper's, plain. What lies here runs their
parameters through other orders of memory and fewer calls, equal up to rounding:

- `generator`: the generator, its channels side by side in memory
- `discriminators`: both discriminators on recordings and generated samples at once
- `convolutions`: one strided, grouped convolution, as the processor likes it
"""

from hifigan_cli.models.optimized.discriminators import OptimizedDiscriminators, Vectors
from hifigan_cli.models.optimized.generator import OptimizedGenerator

__all__ = ["OptimizedDiscriminators", "OptimizedGenerator", "Vectors"]
