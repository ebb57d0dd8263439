"""A loaded model: log-mel -> waveform, and recording -> log-mel -> waveform.

Both work on complete arrays, or block by block with constant memory. The complete result is the
concatenation of the blocks. `stream` accepts frames as they arrive.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.conventions.scales import LOG_FLOOR
from hifigan_cli.audio.logmel import log_mel_stream
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.resampling import pad_or_trim_blocks, resample_blocks, resampled_length
from hifigan_cli.config import GeneratorVariant
from hifigan_cli.engines.selection import EngineOptions, build_engine, engine_device
from hifigan_cli.enhancement.stages import Enhancement
from hifigan_cli.errors import InputError
from hifigan_cli.synthesis.batching import BATCH_FRAMES, synthesize_batch
from hifigan_cli.synthesis.streams import VocoderStream, as_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt
    import torch

    from hifigan_cli.audio.recording import AudioSource
    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

NO_ENHANCEMENT = Enhancement()
_SPEED_TEST_FRAMES = 128
_BLOCK_FRAMES = 4096


class Vocoder:
    """A generator with its mel convention, on a device.

    Attributes:
        model: the model file.
        engine: runs the generator.
        device: cpu, cuda:0 ...
        sample_rate: of the generated speech, in Hz.
        on_chunk_halved: called with the new chunk size when the device runs out of memory.
    """

    def __init__(
        self,
        model: ModelFile,
        options: EngineOptions | str = "auto",
        chunk_frames: int = 0,
        on_chunk_halved: Callable[[int], None] | None = None,
    ) -> None:
        """Prepare a model to run with `options`, or on the device that `options` names.

        `chunk_frames=0` uses the engine's default chunk size.

        Raises:
            ModelError: the weights do not fit the architecture.
            UsageError: the engine is missing, or does not have the precision.
            DeviceError: there is no such device.
        """
        self.model = model
        if isinstance(options, str):
            options = EngineOptions(device=options)
        self.device = engine_device(options)
        self.sample_rate = model.mel.sample_rate
        self.on_chunk_halved = on_chunk_halved
        self._chunk_frames = chunk_frames
        self.engine = build_engine(model, options, self.device)

    def stream(self, chunk_frames: int = 0, *, low_latency: bool = True) -> VocoderStream:
        """Start a stream: push frames as they arrive, and get samples as soon as possible.

        A `low_latency` stream synthesizes 32 frames, or a smaller chunk, as soon as these and their
        context have arrived. Otherwise it waits for two chunks, so that no chunk is short. Stateful
        engines (native) have no chunks, and return samples from every push.

        >>> from hifigan_cli import load_model
        >>> stream = load_model().stream(chunk_frames=32)  # doctest: +SKIP
        >>> samples = stream.push(frames)  # (80, n) -> (m,)  # doctest: +SKIP
        >>> rest = stream.finish()  # (samples,)  # doctest: +SKIP
        """
        return VocoderStream(
            self.engine,
            self.model.generator,
            self.model.mel.n_mels,
            chunk_frames or self._chunk_frames,
            low_latency=low_latency,
            on_chunk_halved=self.on_chunk_halved,
        )

    def vocode(self, mel: npt.ArrayLike | torch.Tensor) -> Audio:
        """Synthesize a log-mel `(n_mels, frames)`, or `(channels, n_mels, frames)`.

        Raises:
            InputError: the array has the wrong dimensions or number of bands, or NaN or infinite
                values.
        """
        frames = as_array(mel)
        if frames.ndim == 2:
            frames = frames[None]
        if frames.ndim != 3:
            raise InputError(f"the mel has the shape {frames.shape}, not (n_mels, frames)")
        if not np.isfinite(frames).all():
            raise InputError("the mel has NaN or infinite values")
        starts = range(0, max(1, frames.shape[2]), _BLOCK_FRAMES)
        blocks = (frames[..., start : start + _BLOCK_FRAMES] for start in starts)
        return self._audio(self.vocode_blocks(blocks), frames.shape[0])

    def vocode_blocks(
        self, blocks: Iterable[FloatArray], *, low_latency: bool = False
    ) -> Iterator[FloatArray]:
        """Synthesize a stream of log-mel blocks `(channels, n_mels, frames)`, in constant memory.

        Use `low_latency` for blocks that arrive over time (see `stream`).
        """
        stream = self.stream(low_latency=low_latency)
        for block in blocks:
            yield stream.push(block)
        yield np.atleast_2d(stream.finish())

    @property
    def prefers_batches(self) -> bool:
        """Whether a batch of mels is faster than one mel after another."""
        return self.device.startswith("cuda") and self.model.generator.variant == GeneratorVariant()

    def vocode_batch(self, mels: Sequence[FloatArray]) -> list[FloatArray]:
        """Synthesize log-mels `(channels, n_mels, frames)` of any lengths, in batches.

        Raises:
            DeviceError: there is not enough memory.
        """
        rows = [row for mel in mels for row in mel]
        frames = self._chunk_frames or BATCH_FRAMES
        waves = iter(
            synthesize_batch(self.engine, self.model.generator, rows, frames, self.on_chunk_halved)
        )
        return [np.stack([next(waves) for _ in mel]) for mel in mels]

    def measure_speed(self) -> float:
        """Time a second or two of synthesis; return seconds of speech per second of processing."""
        mel = np.full((1, self.model.mel.n_mels, _SPEED_TEST_FRAMES), LOG_FLOOR, np.float32)
        list(self.vocode_blocks([mel]))  # the first run also allocates and chooses kernels
        started = time.perf_counter()
        samples = sum(wave.shape[1] for wave in self.vocode_blocks([mel]))
        elapsed_s = time.perf_counter() - started
        return float(samples / self.sample_rate / elapsed_s)

    def mel(self, audio: Audio) -> FloatArray:
        """Compute the log-mel `(channels, n_mels, frames)` of a recording, for this model."""
        return np.concatenate(list(self._mel_blocks(audio)), axis=-1)

    def resynthesize(
        self,
        sound: AudioSource,
        *,
        keep_sample_rate: bool = False,
        enhancement: Enhancement = NO_ENHANCEMENT,
    ) -> Audio:
        """Compute a recording's mel and synthesize it, each channel separately.

        Noise is preserved, unless an enhancement from `load_enhancement` removes it.
        The result has the recording's length: the same number of samples with `keep_sample_rate`,
        otherwise the same duration at the model's sample rate.

        Raises:
            ModelError: the enhancement and this model use different mels.
        """
        blocks = self.vocode_blocks(self.analyze_blocks(sound, enhancement))
        blocks = self.match_length(blocks, sound, keep_sample_rate=keep_sample_rate)
        return self._audio(
            blocks, sound.channels, sound.sample_rate if keep_sample_rate else self.sample_rate
        )

    def analyze_blocks(self, sound: AudioSource, enhancement: Enhancement) -> Iterator[FloatArray]:
        """Yield the enhanced log-mel of a recording in blocks `(channels, n_mels, frames)`.

        Raises:
            ModelError: the enhancement and this model use different mels.
        """
        enhancement.check(self.model.mel)
        return enhancement.analyze_blocks(sound, self._mel_blocks)

    def match_length(
        self, blocks: Iterable[FloatArray], sound: AudioSource, *, keep_sample_rate: bool = False
    ) -> Iterator[FloatArray]:
        """Trim synthesized speech to the recording's length; resample it if asked."""
        channels = sound.channels
        # The last frame extends past the end of the recording: trim before resampling.
        length = resampled_length(sound.length, sound.sample_rate, self.sample_rate)
        blocks = pad_or_trim_blocks(blocks, length, channels)
        if keep_sample_rate:
            blocks = resample_blocks(blocks, self.sample_rate, sound.sample_rate, channels)
            blocks = pad_or_trim_blocks(blocks, sound.length, channels)
        return blocks

    def _mel_blocks(
        self, sound: AudioSource, block_frames: int = _BLOCK_FRAMES
    ) -> Iterator[FloatArray]:
        """Yield the log-mel of a recording, zero-padded to complete frames."""
        hop, channels = self.model.mel.hop_length, sound.channels
        length = resampled_length(sound.length, sound.sample_rate, self.sample_rate)
        padded = -(-max(length, self.model.mel.padding_samples + 1) // hop) * hop
        blocks = resample_blocks(sound.blocks(), sound.sample_rate, self.sample_rate, channels)
        blocks = pad_or_trim_blocks(pad_or_trim_blocks(blocks, length, channels), padded, channels)
        return log_mel_stream(blocks, padded, self.model.mel, block_frames)

    def _audio(
        self, blocks: Iterable[FloatArray], channels: int, sample_rate: int | None = None
    ) -> Audio:
        nonempty = [block for block in blocks if block.shape[1]]
        samples = np.concatenate([np.zeros((channels, 0), np.float32), *nonempty], axis=1)
        return Audio(samples, sample_rate or self.sample_rate)
