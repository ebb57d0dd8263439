"""What every engine is: folded weights made ready to turn log-mels into samples.

Arrays go in and come out, so that an engine need not know torch, nor its caller which engine it
has.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Engine(Protocol):
    """A generator that is ready to run.

    Attributes:
        name: of the engine: torch, onnx or native.
        precision: of its products: fp32, or bf16 with sums in float32.
    """

    name: str
    precision: str

    def synthesize(self, mel: Array) -> Array:
        """Turn a log-mel `(batch, mels, frames)` into samples `(batch, frames * hop)`.

        The mel is a whole: beyond its ends lie the zeros that the convolutions pad with.

        Raises:
            DeviceError: the device is out of memory.
        """
        ...
