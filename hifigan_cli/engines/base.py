"""The interface of every engine: it turns log-mels into samples.

Engines take and return arrays, so an engine need not use torch and its caller need not know which
engine it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray


class Engine(Protocol):
    """A generator that is ready to run.

    Attributes:
        name: native, onnx, torch or eager.
        precision: of the products: fp32; int16 with 32-bit sums; bf16 or fp16 with float32 sums.
    """

    name: str
    precision: str

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, n_mels, frames)` into samples `(batch, frames * hop_length)`.

        The mel is complete: the convolutions pad it with zeros at both ends.

        Raises:
            DeviceError: the device is out of memory.
        """


class ChunkedEngine(Engine, Protocol):
    """An engine that takes long mels in chunks, each with context frames on both sides.

    `chunk_frames` is the mel length at which a call is fast and needs moderate memory.
    """

    chunk_frames: int


class SampleStream(Protocol):
    """One signal: a sample is returned once all frames in its receptive field have arrived."""

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Push frames `(n_mels, frames)`; return the samples `(samples,)` that are ready.

        `end` marks the last frames.
        """


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine whose layers keep their state, so that chunks need no repeated context."""

    def stream(self) -> SampleStream:
        """Begin a signal; many can be open at once."""
