"""A model ready to work: log-mel -> waveform, and recording -> log-mel -> waveform.

Both come in two forms: whole, for arrays at hand, and in blocks, for lengths that memory should not
depend on. The whole form is the concatenation of the blocks. `stream` takes frames as they come.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.conventions.scales import LOG_FLOOR
from hifigan_cli.audio.logmel import log_mel_stream
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.resampling import fit_blocks, resample_blocks, resampled_length
from hifigan_cli.config import Variant
from hifigan_cli.engines.choose import EngineOptions, make_engine, place
from hifigan_cli.enhancement.stages import Enhancement
from hifigan_cli.errors import InputError
from hifigan_cli.synthesis.batching import BATCH_FRAMES, synthesize_together
from hifigan_cli.synthesis.streams import VocoderStream, as_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt
    import torch

    from hifigan_cli.audio.recording import Sound
    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

NO_ENHANCEMENT = Enhancement()
_SPEED_FRAMES = 128
_BLOCK_FRAMES = 4096


class Vocoder:
    """A generator with its mel convention, on a device.

    Attributes:
        model: the model file it was made of.
        engine: what runs the generator.
        device: where: cpu, cuda:0 ...
        sample_rate: of the speech it makes.
        on_halved: told the new chunk size when the device ran out of memory.
    """

    def __init__(
        self,
        model: ModelFile,
        options: EngineOptions | str = "auto",
        chunk_frames: int = 0,
        on_halved: Callable[[int], None] | None = None,
    ) -> None:
        """Make a model ready, as `options` say, or on the device that it names.

        Without `chunk_frames` the engine's own size of chunk is taken.

        Raises:
            ModelError: the weights do not fit the architecture.
            UsageError: the engine is missing, or lacks the precision.
            DeviceError: there is no such device.
        """
        self.model = model
        if isinstance(options, str):
            options = EngineOptions(device=options)
        self.device = place(options)
        self.sample_rate = model.mel.sample_rate
        self.on_halved = on_halved
        self._chunk_frames = chunk_frames
        self.engine = make_engine(model, options, self.device)

    def stream(self, chunk_frames: int = 0, *, prompt: bool = True) -> VocoderStream:
        """Begin a stream: frames are pushed as they come, samples returned once determined.

        A `prompt` stream synthesises what is there once it is worth it (32 frames, or a smaller
        chunk); another awaits two chunks, so that none is short. Engines that remember (native)
        have no chunks, and answer every push.

        >>> from hifigan_cli import load_model
        >>> stream = load_model().stream(chunk_frames=32)  # doctest: +SKIP
        >>> samples = stream.push(frames)  # (80, n) -> (m,)  # doctest: +SKIP
        >>> rest = stream.finish()  # (1, samples)  # doctest: +SKIP
        """
        return VocoderStream(
            self.engine,
            self.model.generator,
            self.model.mel.n_mels,
            chunk_frames or self._chunk_frames,
            prompt=prompt,
            on_halved=self.on_halved,
        )

    def vocode(self, mel: npt.ArrayLike | torch.Tensor) -> Audio:
        """Synthesise a log-mel `(mels, frames)`, or several of one length as channels.

        Raises:
            InputError: the array has another number of dimensions or bands, or values that are not
                numbers.
        """
        frames = as_array(mel)
        if frames.ndim == 2:
            frames = frames[None]
        if frames.ndim != 3:
            raise InputError(f"a mel of shape {frames.shape} is not (mels, frames)")
        if not np.isfinite(frames).all():
            raise InputError("the mel has values that are not numbers")
        starts = range(0, max(1, frames.shape[2]), _BLOCK_FRAMES)
        blocks = (frames[..., start : start + _BLOCK_FRAMES] for start in starts)
        return self._audio(self.vocode_blocks(blocks), frames.shape[0])

    def vocode_blocks(
        self, blocks: Iterable[FloatArray], *, prompt: bool = False
    ) -> Iterator[FloatArray]:
        """Synthesise a stream of log-mel blocks `(channels, mels, frames)`, in flat memory.

        Blocks that arrive over time are answered at once with `prompt` (see `stream`).
        """
        stream = self.stream(prompt=prompt)
        for block in blocks:
            yield stream.push(block)
        yield stream.finish()

    @property
    def wants_batches(self) -> bool:
        """Whether several mels at once are faster than one after another."""
        return self.device.startswith("cuda") and self.model.generator.variant == Variant()

    def vocode_together(self, mels: Sequence[FloatArray]) -> list[FloatArray]:
        """Synthesise log-mels `(channels, mels, frames)` of any lengths, in batches.

        Raises:
            DeviceError: there is not enough memory.
        """
        rows = [row for mel in mels for row in mel]
        frames = self._chunk_frames or BATCH_FRAMES
        waves = iter(
            synthesize_together(self.engine, self.model.generator, rows, frames, self.on_halved)
        )
        return [np.stack([next(waves) for _ in mel]) for mel in mels]

    def measure_speed(self) -> float:
        """Time a second or two of synthesis; return seconds of speech a second of work."""
        mel = np.full((1, self.model.mel.n_mels, _SPEED_FRAMES), LOG_FLOOR, np.float32)
        list(self.vocode_blocks([mel]))  # the first run also allocates and chooses kernels
        started = time.perf_counter()
        samples = sum(wave.shape[1] for wave in self.vocode_blocks([mel]))
        elapsed_s = time.perf_counter() - started
        return float(samples / self.sample_rate / elapsed_s)

    def mel(self, audio: Audio) -> FloatArray:
        """Compute the log-mel `(channels, mels, frames)` that this model reads of a recording."""
        return np.concatenate(list(self._mel_blocks(audio)), axis=-1)

    def resynthesize(
        self,
        sound: Sound,
        *,
        keep_sample_rate: bool = False,
        enhancement: Enhancement = NO_ENHANCEMENT,
    ) -> Audio:
        """Analyse a recording and synthesise it anew, each channel by itself.

        Noise is kept, unless an enhancement of `load_enhancement` removes it on the way.
        The result has the recording's length: its number of samples with `keep_sample_rate`,
        otherwise as many as cover the same time at the model's sample rate.

        Raises:
            ModelError: the enhancement reads another mel than this model.
        """
        blocks = self.vocode_blocks(self.analyse_blocks(sound, enhancement))
        fitted = self.fit(blocks, sound, keep_sample_rate=keep_sample_rate)
        return self._audio(
            fitted, sound.channels, sound.sample_rate if keep_sample_rate else self.sample_rate
        )

    def analyse_blocks(self, sound: Sound, enhancement: Enhancement) -> Iterator[FloatArray]:
        """Yield the log-mel of a recording, `(channels, mels, frames)`, enhanced, in blocks.

        Raises:
            ModelError: the enhancement reads another mel than this model.
        """
        enhancement.check(self.model.mel)
        return enhancement.analyse_blocks(sound, self._mel_blocks)

    def fit(
        self, blocks: Iterable[FloatArray], sound: Sound, *, keep_sample_rate: bool = False
    ) -> Iterator[FloatArray]:
        """Cut the speech of a recording's mel to the recording's length, at one rate or other."""
        channels = sound.channels
        # The last frame reaches past the end; what it adds is cut before any resampling.
        length = resampled_length(sound.length, sound.sample_rate, self.sample_rate)
        blocks = fit_blocks(blocks, length, channels)
        if keep_sample_rate:
            blocks = resample_blocks(blocks, self.sample_rate, sound.sample_rate, channels)
            blocks = fit_blocks(blocks, sound.length, channels)
        return blocks

    def _mel_blocks(self, sound: Sound, block_frames: int = _BLOCK_FRAMES) -> Iterator[FloatArray]:
        """Yield the log-mel of a recording, padded by silence to whole frames."""
        hop, channels = self.model.mel.hop_length, sound.channels
        length = resampled_length(sound.length, sound.sample_rate, self.sample_rate)
        padded = -(-max(length, self.model.mel.pad_samples + 1) // hop) * hop
        blocks = resample_blocks(sound.blocks(), sound.sample_rate, self.sample_rate, channels)
        blocks = fit_blocks(fit_blocks(blocks, length, channels), padded, channels)
        return log_mel_stream(blocks, padded, self.model.mel, block_frames)

    def _audio(
        self, blocks: Iterable[FloatArray], channels: int, sample_rate: int | None = None
    ) -> Audio:
        pieces = [block for block in blocks if block.shape[1]]
        whole = np.concatenate([np.zeros((channels, 0), np.float32), *pieces], axis=1)
        return Audio(whole, sample_rate or self.sample_rate)
