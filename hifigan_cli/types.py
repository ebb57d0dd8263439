"""Array types and `Notice`. Docstrings name the shapes, always in the same words.

Samples are `(channels, samples)` or `(samples,)`; log-mels are `(channels, n_mels, frames)` or
`(n_mels, frames)`. Both are `FloatArray`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

HalfArray = npt.NDArray[np.float16]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class Notice:
    """A message for the user; `warning` is true if it may need their attention."""

    message: str
    warning: bool = False
