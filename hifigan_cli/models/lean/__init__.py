"""The same networks, arranged for speed in training: their parameters, their mathematics.

`generator` and `discriminators` beside this folder are the paper's, plain. What lies here runs
their parameters through other orders of memory and fewer calls, equal up to rounding:

- `maker`: the generator, its channels side by side in memory
- `convolutions`: one strided, grouped convolution, as the processor likes it
- `judges`: both discriminators on real and generated samples at once
- `spectral`: spectral norm for several passes at once
"""

from hifigan_cli.models.lean.judges import Judges
from hifigan_cli.models.lean.maker import Maker
from hifigan_cli.models.lean.spectral import Vectors

__all__ = ["Judges", "Maker", "Vectors"]
