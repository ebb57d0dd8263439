"""One stream for every model and engine: channels of mel frames in, samples out.

What models of other tools do to the mel before the network (mean and scale a band, copies of the
first and the last frame) is done here, so that engines need not know it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.config.architecture import context_frames, least_frames
from hifigan_cli.engines.base import StreamingEngine
from hifigan_cli.errors import InputError
from hifigan_cli.synthesis.chunks import ChunkedStream

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import torch

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.engines.base import ChunkedEngine, SampleStream
    from hifigan_cli.types import FloatArray


def as_array(mel: npt.ArrayLike | torch.Tensor) -> FloatArray:
    """Return anything like an array as float32, also a tensor with gradients or on a GPU."""
    if hasattr(mel, "detach"):
        mel = mel.detach().cpu().float()
    return np.asarray(mel, np.float32)


class VocoderStream:
    """Frames are pushed as they come; each push returns the samples that are determined by then.

    Memory does not depend on the length. All samples, put together, are those of the whole mel.

    Attributes:
        latency_frames: frames that must have come after one, at most, for its samples to be out.
    """

    def __init__(
        self,
        engine: ChunkedEngine | StreamingEngine,
        config: GeneratorConfig,
        n_mels: int,
        chunk_frames: int = 0,
        *,
        prompt: bool = True,
        on_halved: Callable[[int], None] | None = None,
    ) -> None:
        self._n_mels, self._hop = n_mels, config.hop_length
        variant = config.variant
        self._padding = variant.inference_padding
        self._mean = np.array(variant.input_mean, np.float32)[:, None]
        self._scale = np.array(variant.input_scale, np.float32)[:, None]
        self._stream: _Channels | ChunkedStream
        if isinstance(engine, StreamingEngine):
            self._stream = _Channels(engine, context_frames(config))
        else:
            self._stream = ChunkedStream(
                engine, config, chunk_frames, prompt=prompt, on_halved=on_halved
            )
        self.latency_frames = self._stream.latency_frames + self._padding
        self._least = least_frames(config) - 2 * self._padding
        self._count = 0  # frames so far
        self._last: FloatArray | None = None  # the last frame so far
        self._surplus = 0  # samples of copied frames, still to be dropped

    def push(self, mel: npt.ArrayLike | torch.Tensor) -> FloatArray:
        """Take log-mel frames; return samples, of the same form but for the mels.

        `(mels, frames)` gives `(samples,)`, `(channels, mels, frames)` gives `(channels, samples)`.
        All pushes of a stream have the same channels.

        Raises:
            InputError: the array has another number of dimensions, bands or channels.
            DeviceError: there is not enough memory.
        """
        frames = as_array(mel)
        single = frames.ndim == 2
        frames = frames[None] if single else frames
        if frames.ndim != 3 or frames.shape[1] != self._n_mels or not len(frames):
            raise InputError(
                f"a mel of shape {np.shape(mel)} is not (mels, frames) with {self._n_mels} mels"
            )
        if self._last is not None and len(frames) != len(self._last):
            raise InputError(f"{len(frames)} channels after {len(self._last)} in one stream")
        samples = self._take(frames)
        return samples[0] if single else samples

    def finish(self) -> FloatArray:
        """Say that there are no more frames; return the samples `(channels, samples)` left.

        The stream can then take another mel.

        Raises:
            InputError: the mel is too short for a network whose convolutions reflect.
        """
        if self._last is None:
            return np.zeros((1, 0), np.float32)
        if self._count < self._least:
            raise InputError(
                f"a mel of {self._count} frames is too short for this model",
                f"it takes at least {self._least}",
            )
        copies = np.repeat(self._last, self._padding, axis=-1)
        samples = self._stream.push(copies, end=True)
        self._last, self._count = None, 0
        return samples[:, self._surplus : samples.shape[1] - self._padding * self._hop]

    def _take(self, frames: FloatArray) -> FloatArray:
        if frames.shape[-1] == 0:
            return np.zeros((len(frames), 0), np.float32)
        self._count += frames.shape[-1]
        if self._mean.size:
            frames = (frames - self._mean) / self._scale
        if self._last is None and self._padding:
            copies = np.repeat(frames[..., :1], self._padding, axis=-1)
            frames = np.concatenate((copies, frames), axis=-1)
            self._surplus = self._padding * self._hop
        self._last = frames[..., -1:]
        samples = self._stream.push(frames)
        dropped = min(self._surplus, samples.shape[1])
        self._surplus -= dropped
        return samples[:, dropped:]


class _Channels:
    """Streams of an engine that remembers, one a channel."""

    def __init__(self, engine: StreamingEngine, context: int) -> None:
        self._engine = engine
        self._streams: list[SampleStream] = []
        self.latency_frames = context

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Take frames `(channels, mels, frames)`; return `(channels, samples)`."""
        if not self._streams:
            self._streams = [self._engine.stream() for _ in mel]
        made = [stream.push(one, end=end) for stream, one in zip(self._streams, mel, strict=True)]
        if end:
            self._streams = []
        return np.stack(made)
