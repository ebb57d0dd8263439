"""The generator, run by the compiled library: whole mels, or a stream of frames."""

from __future__ import annotations

import ctypes
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.engines.native.library import Floats, kernels, library
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.models.shapes import generator_shapes
from hifigan_cli.runtime.threads import available_threads

if TYPE_CHECKING:
    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

# Precision -> kernels, best first. Without a name the library takes the best in float32.
PRECISIONS = {"fp32": "", "int16": "avx512vnni"}
IDLE_STREAMS = 2  # that are kept: a stereo recording's


class NativeEngine:
    """A generator in compiled code; `precision` is that of the residual blocks' products.

    `kernels` are the instructions in use: portable, avx2, avx512 or avx512vnni.
    """

    name = "native"

    def __init__(
        self, model: ModelFile, precision: str = "fp32", threads: int | None = None
    ) -> None:
        """Pack a model's weights for this processor.

        Raises:
            UsageError: this processor has no instructions for the precision, or the model is of a
                kind that these kernels do not compute.
        """
        config = model.generator
        if not config.standard:
            raise UsageError(
                "the native engine computes the paper's generator, not this variant of it",
                "--engine torch computes all",
            )
        found = kernels(PRECISIONS[precision]) if precision in PRECISIONS else None
        if found is None:
            raise UsageError(
                f"the native engine has no {precision} on this processor",
                f"one of: {', '.join(precisions())}",
            )
        self.precision, self.kernels = precision, found
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
        self.idle: list[ctypes.c_void_p] = []  # streams of the library that ended, kept for reuse
        # Held here because this module's names are gone when the interpreter ends.
        self.free_stream = library().hifigan_stream_free
        self._free_network = library().hifigan_network_free
        self.handle = ctypes.c_void_p()
        library().hifigan_network_open(
            found.encode(),
            threads or available_threads(),
            (ctypes.c_int * len(shape))(*shape),
            (Floats * len(arrays))(*map(pointer, arrays)),
            ctypes.byref(self.handle),
        )

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel into samples, as `Engine` describes it."""
        stream = self.stream()
        waves = [stream.push(one, end=True) for one in mel]
        return np.stack(waves) if waves else np.zeros((0, 0), np.float32)

    def stream(self) -> NativeStream:
        """Begin a stream of one channel; many may be open at once, and take turns."""
        return NativeStream(self)

    def take(self) -> ctypes.c_void_p:
        """Return a stream of the library that is as new.

        One that has ended is, and has its memory, a hundred megabytes, already.
        """
        try:
            return self.idle.pop()
        except IndexError:
            stream = ctypes.c_void_p()
            library().hifigan_stream_open(self.handle, ctypes.byref(stream))
            return stream

    def give(self, stream: ctypes.c_void_p) -> None:
        """Take back a stream of the library that has ended."""
        if len(self.idle) < IDLE_STREAMS:
            self.idle.append(stream)
        else:
            self.free_stream(stream)

    def __del__(self) -> None:
        """Give the memory back, once no stream refers to the engine any more."""
        if getattr(self, "handle", None):
            for stream in self.idle:
                self.free_stream(stream)
            self._free_network(self.handle)


class NativeStream:
    """Mel frames in, samples out, as soon as all that they depend on has been seen."""

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self._taken = self._given = 0  # frames, samples
        self._stream: ctypes.c_void_p | None = None  # while a signal is under way
        self._lock = Lock()  # the room for samples is reckoned from what was pushed before

    def __del__(self) -> None:
        """Give back the memory of a signal that nobody ended."""
        if self._stream:
            self._engine.free_stream(self._stream)

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Take frames `(n_mels, frames)`; return the samples that are now determined.

        With `end` these were the last frames: all that is left comes out, and the next push begins
        another signal.

        Raises:
            InputError: the mel has other bands than the network; its code would read beyond it.
        """
        n_mels = self._engine.n_mels
        if mel.ndim != 2 or len(mel) != n_mels:
            raise InputError(f"a mel of shape {mel.shape} is not ({n_mels}, frames)")
        rows = np.ascontiguousarray(mel.T, np.float32)
        with self._lock:
            return self._push(rows, end=end)

    def _push(self, rows: FloatArray, *, end: bool) -> FloatArray:
        engine = self._engine
        stream = self._stream = self._stream or engine.take()
        self._taken += len(rows)
        room = np.empty(self._taken * engine.hop_length - self._given, np.float32)
        made = ctypes.c_int64()
        try:
            library().hifigan_stream_push(
                *(engine.handle, stream, pointer(rows), len(rows), end),
                *(pointer(room), ctypes.byref(made)),
            )
        except BaseException:  # it stopped anywhere; the next push begins another signal
            self._stream, self._taken, self._given = None, 0, 0
            engine.free_stream(stream)
            raise
        self._given += made.value
        if end:
            self._stream, self._taken, self._given = None, 0, 0
            engine.give(stream)
        return room[: made.value]


def precisions() -> list[str]:
    """Return the precisions that this processor has instructions for."""
    return [name for name, wanted in PRECISIONS.items() if kernels(wanted)]


def pointer(array: FloatArray) -> ctypes._Pointer[ctypes.c_float]:
    """Return where an array's numbers lie."""
    return array.ctypes.data_as(Floats)
