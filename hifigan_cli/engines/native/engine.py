"""Run the generator in the compiled library, on complete mels or a stream of frames."""

from __future__ import annotations

import ctypes
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.engines.native.library import Floats, find_kernels, load_library
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.models.shapes import generator_shapes
from hifigan_cli.runtime.threads import available_threads

if TYPE_CHECKING:
    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

# Precision -> kernels, best first. An empty name selects the best in float32.
PRECISIONS = {"fp32": "", "int16": "avx512vnni"}
MAX_IDLE_STREAMS = 2  # a stereo recording needs two


class NativeEngine:
    """A generator in compiled code.

    Attributes:
        precision: of the products in the residual blocks.
        kernels: the instruction set in use: portable, avx2, avx512 or avx512vnni.
    """

    name = "native"

    def __init__(
        self, model: ModelFile, precision: str = "fp32", threads: int | None = None
    ) -> None:
        """Pack a model's weights for this processor.

        Raises:
            UsageError: this processor lacks the instructions for the precision, or these kernels
                do not support the model's variant.
        """
        config = model.generator
        if not config.is_official:
            raise UsageError(
                "the native engine supports only the paper's generator, not this variant",
                "use --engine torch",
            )
        kernels = find_kernels(PRECISIONS[precision]) if precision in PRECISIONS else None
        if kernels is None:
            raise UsageError(
                f"the native engine does not support {precision} on this processor",
                f"one of: {', '.join(precisions())}",
            )
        self.precision, self.kernels = precision, kernels
        weights, names = model.weights_for_synthesis(), generator_shapes(config, model.mel.n_mels)
        arrays = [np.ascontiguousarray(weights[name]) for name in names]
        shape = [
            *(model.mel.n_mels, config.upsample_initial_channel, config.resblock),
            *(len(config.upsample_rates), len(config.resblock_kernel_sizes)),
            len(config.resblock_dilation_sizes[0]),
            *(*config.upsample_rates, *config.upsample_kernel_sizes, *config.resblock_kernel_sizes),
            *(dilation for block in config.resblock_dilation_sizes for dilation in block),
        ]
        self.n_mels, self.hop_length = model.mel.n_mels, config.hop_length
        self.idle_streams: list[ctypes.c_void_p] = []  # ended streams of the library, for reuse
        # Stored here because this module's globals are gone at interpreter exit.
        self.free_stream = load_library().hifigan_stream_free
        self._free_network = load_library().hifigan_network_free
        self.handle = ctypes.c_void_p()
        load_library().hifigan_network_open(
            kernels.encode(),
            threads or available_threads(),
            (ctypes.c_int * len(shape))(*shape),
            (Floats * len(arrays))(*map(pointer, arrays)),
            ctypes.byref(self.handle),
        )

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, n_mels, frames)` into samples; see `Engine.synthesize`."""
        stream = self.stream()
        waves = [stream.push(row, end=True) for row in mel]
        return np.stack(waves) if waves else np.zeros((0, 0), np.float32)

    def stream(self) -> NativeStream:
        """Begin a stream of one channel; many can be open at once, and they run in turn."""
        return NativeStream(self)

    def acquire_stream(self) -> ctypes.c_void_p:
        """Return a stream of the library in its initial state.

        A finished stream is already reset, and its 100 MB of buffers can be reused.
        """
        try:
            return self.idle_streams.pop()
        except IndexError:
            stream = ctypes.c_void_p()
            load_library().hifigan_stream_open(self.handle, ctypes.byref(stream))
            return stream

    def release_stream(self, stream: ctypes.c_void_p) -> None:
        """Keep an ended stream of the library for reuse, or free it."""
        if len(self.idle_streams) < MAX_IDLE_STREAMS:
            self.idle_streams.append(stream)
        else:
            self.free_stream(stream)

    def __del__(self) -> None:
        """Free the memory, once no stream refers to the engine."""
        if getattr(self, "handle", None):
            for stream in self.idle_streams:
                self.free_stream(stream)
            self._free_network(self.handle)


class NativeStream:
    """Turns mel frames into samples, as soon as all frames that they depend on have arrived."""

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self._frames_in = self._samples_out = 0
        self._stream: ctypes.c_void_p | None = None  # None between signals
        self._lock = Lock()  # the size of the output depends on what was pushed before

    def __del__(self) -> None:
        """Free the memory of a signal that was not ended."""
        if self._stream:
            self._engine.free_stream(self._stream)

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Push frames `(n_mels, frames)`; return the samples `(samples,)` that are ready.

        `end` marks the last frames: all remaining samples come out, and the next push begins
        another signal.

        Raises:
            InputError: the mel does not have the network's `n_mels`; the library would read past
                its end.
        """
        n_mels = self._engine.n_mels
        if mel.ndim != 2 or len(mel) != n_mels:
            raise InputError(f"the mel has shape {mel.shape}, expected ({n_mels}, frames)")
        rows = np.ascontiguousarray(mel.T, np.float32)
        with self._lock:
            return self._push(rows, end=end)

    def _push(self, rows: FloatArray, *, end: bool) -> FloatArray:
        engine = self._engine
        stream = self._stream = self._stream or engine.acquire_stream()
        self._frames_in += len(rows)
        buffer = np.empty(self._frames_in * engine.hop_length - self._samples_out, np.float32)
        count = ctypes.c_int64()
        try:
            load_library().hifigan_stream_push(
                *(engine.handle, stream, pointer(rows), len(rows), end),
                *(pointer(buffer), ctypes.byref(count)),
            )
        except BaseException:  # its state is unknown; the next push begins another signal
            self._stream, self._frames_in, self._samples_out = None, 0, 0
            engine.free_stream(stream)
            raise
        self._samples_out += count.value
        if end:
            self._stream, self._frames_in, self._samples_out = None, 0, 0
            engine.release_stream(stream)
        return buffer[: count.value]


def precisions() -> list[str]:
    """Return the precisions that this processor supports."""
    return [name for name, kernels in PRECISIONS.items() if find_kernels(kernels)]


def pointer(array: FloatArray) -> ctypes._Pointer[ctypes.c_float]:
    """Return a C pointer to an array's data."""
    return array.ctypes.data_as(Floats)
