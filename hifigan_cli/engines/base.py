"""What every engine is: folded weights made ready to turn log-mels into samples.

Arrays go in and come out, so that an engine need not know torch, nor its caller which engine it
has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray


class Engine(Protocol):
    """A generator that is ready to run.

    Attributes:
        name: of the engine: native, onnx, torch or eager.
        precision: of its products: fp32; int16 with sums of 32 bits; bf16 or fp16 with sums in
            float32.
    """

    name: str
    precision: str

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, n_mels, frames)` into samples `(batch, frames * hop)`.

        The mel is complete: beyond its ends lie the zeros that the convolutions pad with.

        Raises:
            DeviceError: the device is out of memory.
        """


class ChunkedEngine(Engine, Protocol):
    """An engine that takes long mels in chunks, with the frames around each.

    `chunk_frames` is the length of mel at which a call is fast, and its memory moderate.
    """

    chunk_frames: int


class SampleStream(Protocol):
    """One signal: frames are pushed, samples come out once they are determined."""

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Take frames `(n_mels, frames)`, with `end` the last ones; return samples `(samples,)`."""


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine whose layers remember, so that chunks need no context computed again."""

    def stream(self) -> SampleStream:
        """Begin a signal; many may be open at once."""
