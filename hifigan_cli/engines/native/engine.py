"""The generator, run by the compiled library: whole mels, or a stream of frames."""

from __future__ import annotations

import ctypes
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.engines.native.library import Floats, kernels, library
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.runtime.threads import available_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

# Precision -> kernels, best first. Without a name the library takes the best in float32.
PRECISIONS = {"fp32": "", "int16": "avx512vnni"}
IDLE_STREAMS = 2  # that are kept: a stereo recording's


class NativeEngine:
    """A generator in compiled code.

    Attributes:
        name: `native`.
        precision: of the products in the residual blocks.
        kernels: the instructions in use: portable, avx2, avx512 or avx512vnni.
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
        weights = model.weights_for_synthesis()
        arrays = [
            np.ascontiguousarray(weights[f"{layer}.{part}"])
            for layer in layer_names(config)
            for part in ("weight", "bias")
        ]
        shape = [
            *(model.mel.n_mels, config.upsample_initial_channel, config.resblock),
            *(len(config.upsample_rates), len(config.resblock_kernel_sizes)),
            len(config.resblock_dilation_sizes[0]),
            *(*config.upsample_rates, *config.upsample_kernel_sizes, *config.resblock_kernel_sizes),
            *(dilation for block in config.resblock_dilation_sizes for dilation in block),
        ]
        handle = ctypes.c_void_p()
        library().hifigan_network_open(
            found.encode(),
            threads or available_threads(),
            (ctypes.c_int * len(shape))(*shape),
            (Floats * len(arrays))(*map(pointer, arrays)),
            ctypes.byref(handle),
        )
        self._network = _Network(handle, model.mel.n_mels, config.hop_samples)

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, n_mels, frames)` into samples `(batch, frames * hop)`."""
        stream = self.stream()
        waves = [stream.push(one, end=True) for one in mel]
        return np.stack(waves) if waves else np.zeros((0, 0), np.float32)

    def stream(self) -> NativeStream:
        """Begin a stream of one channel; many may be open at once, and take turns."""
        return NativeStream(self._network)


class _Network:
    """The library's weights; they go when neither engine nor stream holds them any more.

    A stream of the library that has ended is as new but for its memory, a hundred megabytes that
    need not be had from the system again: one or two wait here for the next signal.
    """

    def __init__(self, handle: ctypes.c_void_p, n_mels: int, hop_length: int) -> None:
        self.handle, self.n_mels, self.hop_length = handle, n_mels, hop_length
        self._idle: list[ctypes.c_void_p] = []

    def take(self) -> ctypes.c_void_p:
        """Return a stream of the library that is as new."""
        try:
            return self._idle.pop()
        except IndexError:
            stream = ctypes.c_void_p()
            library().hifigan_stream_open(self.handle, ctypes.byref(stream))
            return stream

    def give(self, stream: ctypes.c_void_p) -> None:
        """Take back a stream that has ended."""
        if len(self._idle) < IDLE_STREAMS:
            self._idle.append(stream)
        else:
            library().hifigan_stream_free(stream)

    def __del__(self) -> None:
        for stream in self._idle:
            library().hifigan_stream_free(stream)
        library().hifigan_network_free(self.handle)


class NativeStream:
    """Mel frames in, samples out, as soon as all that they depend on has been seen."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self._taken = self._given = 0  # frames, samples
        self._stream: ctypes.c_void_p | None = None  # while a signal is under way
        self._lock = Lock()  # the room for samples is reckoned from what was pushed before

    def __del__(self) -> None:
        """Give back the memory of a signal that nobody ended."""
        if self._stream:
            library().hifigan_stream_free(self._stream)

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Take frames `(n_mels, frames)`; return the samples that are now determined.

        With `end` these were the last frames: all that is left comes out, and the next push begins
        another signal.

        Raises:
            InputError: the mel has other bands than the network; its code would read beyond it.
        """
        if mel.ndim != 2 or len(mel) != self._network.n_mels:
            raise InputError(f"a mel of shape {mel.shape} is not ({self._network.n_mels}, frames)")
        rows = np.ascontiguousarray(mel.T, np.float32)
        with self._lock:
            return self._push(rows, end=end)

    def _push(self, rows: FloatArray, *, end: bool) -> FloatArray:
        stream = self._stream = self._stream or self._network.take()
        self._taken += len(rows)
        room = np.empty(self._taken * self._network.hop_length - self._given, np.float32)
        made = ctypes.c_int64()
        try:
            library().hifigan_stream_push(
                *(self._network.handle, stream, pointer(rows), len(rows), end),
                *(pointer(room), ctypes.byref(made)),
            )
        except BaseException:  # it stopped anywhere; the next push begins another signal
            self._stream, self._taken, self._given = None, 0, 0
            library().hifigan_stream_free(stream)
            raise
        self._given += made.value
        if end:
            self._stream, self._taken, self._given = None, 0, 0
            self._network.give(stream)
        return room[: made.value]


def precisions() -> list[str]:
    """Return the precisions that this processor has instructions for."""
    return [name for name, wanted in PRECISIONS.items() if kernels(wanted)]


def layer_names(config: GeneratorConfig) -> Iterator[str]:
    """Yield the official names of the layers in the order of the forward pass."""
    kernels_a_stage = len(config.resblock_kernel_sizes)
    yield "conv_pre"
    for stage in range(len(config.upsample_rates)):
        yield f"ups.{stage}"
        for kernel, dilations in enumerate(config.resblock_dilation_sizes):
            block = f"resblocks.{stage * kernels_a_stage + kernel}"
            for place in range(len(dilations)):
                if config.resblock == 1:
                    yield f"{block}.convs1.{place}"
                    yield f"{block}.convs2.{place}"
                else:
                    yield f"{block}.convs.{place}"
    yield "conv_post"


def pointer(array: FloatArray) -> ctypes._Pointer[ctypes.c_float]:
    """Return where an array's numbers lie."""
    return array.ctypes.data_as(Floats)
