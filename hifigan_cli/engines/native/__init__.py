"""The native engine: the generator in C++, for this machine's vector instructions.

Read in this order:

- `engine`: `NativeEngine`: whole mels, or a stream of frames
- `library`: the compiled library and its functions; why it may be missing
- `source/network.h`: the generator as a stream of rows, each layer with a short memory
- `source/convolver.h`: one convolution shared out over threads
- `source/kernels.inl`, `source/fourier.h`: what the processor spends its time in
- `source/isa_*.cpp`: the same kernels for each set of instructions; `source/api.cpp` chooses
"""

from hifigan_cli.engines.native.engine import NativeEngine, precisions
from hifigan_cli.engines.native.library import missing

__all__ = ["NativeEngine", "missing", "precisions"]
