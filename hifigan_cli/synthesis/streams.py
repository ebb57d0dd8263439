"""One stream class for every model and engine: mel frames in, samples out, for all channels.

Some imported models normalize each mel band, or pad the mel with copies of its first and last
frame. The stream does this before the network, so that engines need not know about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.config.architecture import context_frames, min_frames
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
    """Convert any array-like to float32, including a tensor with gradients or on a GPU."""
    if hasattr(mel, "detach"):
        mel = mel.detach().cpu().float()
    return np.asarray(mel, np.float32)


class VocoderStream:
    """Push frames as they arrive; each push returns the samples that are final by then.

    Memory does not depend on the length. The concatenated samples equal those of the complete mel.

    Attributes:
        latency_frames: the samples of a frame are returned after at most this many more frames.
    """

    def __init__(
        self,
        engine: ChunkedEngine | StreamingEngine,
        config: GeneratorConfig,
        n_mels: int,
        chunk_frames: int = 0,
        *,
        low_latency: bool = True,
        on_chunk_halved: Callable[[int], None] | None = None,
    ) -> None:
        self._n_mels, self._hop = n_mels, config.hop_length
        variant = config.variant
        self._padding = variant.inference_padding
        self._mean = np.array(variant.input_mean, np.float32)[:, None]
        self._scale = np.array(variant.input_scale, np.float32)[:, None]
        self._stream: _ChannelStreams | ChunkedStream
        if isinstance(engine, StreamingEngine):
            self._stream = _ChannelStreams(engine, context_frames(config))
        else:
            self._stream = ChunkedStream(
                engine,
                config,
                chunk_frames,
                low_latency=low_latency,
                on_chunk_halved=on_chunk_halved,
            )
        self.latency_frames = self._stream.latency_frames + self._padding
        self._min_frames = min_frames(config) - 2 * self._padding
        self._n_frames = 0  # frames so far
        self._last_frame: FloatArray | None = None
        self._single = True  # pushes without a channel dimension
        self._samples_to_drop = 0  # samples of padding frames that are still to come

    def push(self, mel: npt.ArrayLike | torch.Tensor) -> FloatArray:
        """Accept log-mel frames; return samples.

        `(n_mels, frames)` gives `(samples,)`, and `(channels, n_mels, frames)` gives
        `(channels, samples)`. All pushes of a stream must have the same number of channels.

        Raises:
            InputError: the array has the wrong number of dimensions, bands or channels.
            DeviceError: there is not enough memory.
        """
        frames = as_array(mel)
        single = frames.ndim == 2
        frames = frames[None] if single else frames
        if frames.ndim != 3 or frames.shape[1] != self._n_mels or not len(frames):
            raise InputError(f"the mel has the shape {np.shape(mel)}, not ({self._n_mels}, frames)")
        if self._last_frame is not None and len(frames) != len(self._last_frame):
            raise InputError(
                f"a push has {len(frames)} channels, the stream has {len(self._last_frame)}"
            )
        self._single = single
        samples = self._push_frames(frames)
        return samples[0] if single else samples

    def finish(self) -> FloatArray:
        """End the mel; return the remaining samples, with the dimensions that `push` returned.

        The stream can then be used for another mel.

        Raises:
            InputError: the mel is too short for a network with reflection padding.
        """
        if self._last_frame is None:
            return np.zeros(0, np.float32)
        if self._n_frames < self._min_frames:
            raise InputError(
                f"a mel of {self._n_frames} frames is too short for this model",
                f"it needs at least {self._min_frames}",
            )
        copies = np.repeat(self._last_frame, self._padding, axis=-1)
        samples = self._stream.push(copies, end=True)
        self._last_frame, self._n_frames = None, 0
        samples = samples[:, self._samples_to_drop : samples.shape[1] - self._padding * self._hop]
        return samples[0] if self._single else samples

    def _push_frames(self, frames: FloatArray) -> FloatArray:
        if frames.shape[-1] == 0:
            return np.zeros((len(frames), 0), np.float32)
        self._n_frames += frames.shape[-1]
        if self._mean.size:
            frames = (frames - self._mean) / self._scale
        if self._last_frame is None and self._padding:
            copies = np.repeat(frames[..., :1], self._padding, axis=-1)
            frames = np.concatenate((copies, frames), axis=-1)
            self._samples_to_drop = self._padding * self._hop
        self._last_frame = frames[..., -1:]
        samples = self._stream.push(frames)
        dropped = min(self._samples_to_drop, samples.shape[1])
        self._samples_to_drop -= dropped
        return samples[:, dropped:]


class _ChannelStreams:
    """Streams of a stateful engine, one per channel."""

    def __init__(self, engine: StreamingEngine, context: int) -> None:
        self._engine = engine
        self._streams: list[SampleStream] = []
        self.latency_frames = context

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Accept frames `(channels, n_mels, frames)`; return `(channels, samples)`."""
        if not self._streams:
            self._streams = [self._engine.stream() for _ in mel]
        samples = [s.push(channel, end=end) for s, channel in zip(self._streams, mel, strict=True)]
        if end:
            self._streams = []
        return np.stack(samples)
