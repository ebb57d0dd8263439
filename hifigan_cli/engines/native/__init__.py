"""The native engine: the generator in C++, with this machine's vector instructions.

Read in this order:

- `engine`: `NativeEngine`, for complete mels or a stream of frames
- `library`: the compiled library and its functions; why it may be missing
- `source/network.h`: the generator as a stream of rows; each layer keeps a short history
- `source/convolver.h`: one convolution, split among threads
- `source/kernels.inl`, `source/fourier.h`: the inner loops, where most of the time is spent
- `source/isa_*.cpp`: the same kernels for each instruction set; `source/api.cpp` selects one
"""

from hifigan_cli.engines.native.engine import NativeEngine, precisions
from hifigan_cli.engines.native.library import unavailable_reason

__all__ = ["NativeEngine", "precisions", "unavailable_reason"]
