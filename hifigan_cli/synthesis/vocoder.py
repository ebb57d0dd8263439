"""A model ready to work: log-mel -> waveform, and recording -> log-mel -> waveform.

Both come in two forms: whole, for arrays at hand, and in blocks, for lengths that memory should not
depend on. The whole form is the concatenation of the blocks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.audio.mel import LOG_FLOOR, MelSpectrogram
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.resampling import (
    fit,
    fit_blocks,
    resample,
    resample_blocks,
)
from hifigan_cli.errors import InputError
from hifigan_cli.models.devices import resolve_device
from hifigan_cli.synthesis.chunks import DEFAULT_CHUNK_FRAMES, synthesize_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from hifigan_cli.audio.reading import Samples
    from hifigan_cli.models import ModelFile
    from hifigan_cli.synthesis.enhancement import Enhancement

_SPEED_FRAMES = 128


class Vocoder:
    """A generator with its mel convention, on a device.

    Attributes:
        model: the model file it was made of.
        generator: the network, its weight norm folded.
        device: where it runs.
        rate_hz: of the speech it makes.
        on_halved: told the new chunk size when the device ran out of memory.
    """

    def __init__(
        self,
        model: ModelFile,
        device: str = "auto",
        chunk_frames: int = DEFAULT_CHUNK_FRAMES,
        on_halved: Callable[[int], None] | None = None,
    ) -> None:
        self.model = model
        self.device = resolve_device(device)
        self.rate_hz = model.mel.rate_hz
        self.on_halved = on_halved
        self._chunk_frames = chunk_frames
        self.generator = model.build(self.device)
        self._mel = MelSpectrogram(model.mel).to(self.device)

    def vocode(self, mel: npt.ArrayLike | torch.Tensor) -> Audio:
        """Synthesise a log-mel `(mels, frames)`, or several of one length as channels.

        Raises:
            InputError: the array has another number of dimensions or bands.
        """
        frames = torch.as_tensor(mel, dtype=torch.float32)
        if frames.ndim == 2:
            frames = frames[None]
        n_mels = self.model.mel.n_mels
        if frames.ndim != 3 or frames.shape[1] != n_mels:
            raise InputError(
                f"a mel of shape {tuple(frames.shape)} is not (mels, frames) with {n_mels} mels"
            )
        return self._audio(self.vocode_blocks([frames]), frames.shape[0])

    def vocode_blocks(self, blocks: Iterable[torch.Tensor]) -> Iterator[Samples]:
        """Synthesise a stream of log-mel blocks `(channels, mels, frames)`, in flat memory."""
        on_device = (block.to(self.device) for block in blocks)
        stream = synthesize_stream(self.generator, on_device, self._chunk_frames, self.on_halved)
        for wave in stream:
            yield wave.cpu().numpy()

    def measure_speed(self) -> float:
        """Time a second or two of synthesis; return seconds of speech a second of work."""
        mel = torch.full((1, self.model.mel.n_mels, _SPEED_FRAMES), LOG_FLOOR)
        list(self.vocode_blocks([mel]))  # the first run also allocates and chooses kernels
        started = time.perf_counter()
        samples = sum(wave.shape[1] for wave in self.vocode_blocks([mel]))
        elapsed_s = time.perf_counter() - started
        return float(samples / self.rate_hz / elapsed_s)

    def mel(self, audio: Audio) -> npt.NDArray[np.float32]:
        """Compute the log-mel `(channels, mels, frames)` that this model reads of a recording."""
        blocks = [block.cpu().numpy() for block in self._mel_blocks(self._at_rate(audio))]
        return np.concatenate(blocks, axis=-1)

    def resynthesize(
        self, audio: Audio, *, keep_rate: bool = False, enhancement: Enhancement | None = None
    ) -> Audio:
        """Analyse a recording and synthesise it anew, each channel by itself.

        With an enhancement the mel is cleaned on the way, otherwise noise is kept.
        The result has the recording's length: its number of samples with `keep_rate`, else as many
        as cover the same time at the model's rate.
        """
        blocks = self.resynthesize_blocks(audio, keep_rate=keep_rate, enhancement=enhancement)
        rate_hz = audio.rate_hz if keep_rate else self.rate_hz
        return self._audio(blocks, audio.channels, rate_hz)

    def resynthesize_blocks(
        self, audio: Audio, *, keep_rate: bool = False, enhancement: Enhancement | None = None
    ) -> Iterator[Samples]:
        """Yield what `resynthesize` makes, in blocks.

        Raises:
            ModelError: the enhancement reads another mel than this model.
        """
        samples = self._at_rate(audio)
        mels = self._mel_blocks(samples)
        if enhancement is not None:
            enhancement.check(self.model.mel)
            mels = enhancement.enhance_blocks(mels)
        blocks = self.vocode_blocks(mels)
        channels = audio.channels
        # The last frame reaches past the end; what it adds is cut before any resampling.
        blocks = fit_blocks(blocks, samples.shape[1], channels)
        if keep_rate:
            blocks = resample_blocks(blocks, self.rate_hz, audio.rate_hz, channels)
            blocks = fit_blocks(blocks, audio.samples.shape[1], channels)
        return blocks

    def _at_rate(self, audio: Audio) -> Samples:
        return resample(audio.samples, audio.rate_hz, self.rate_hz)

    def _mel_blocks(self, samples: Samples) -> Iterator[torch.Tensor]:
        """Yield the log-mel of `(channels, samples)`, padded by silence to whole frames."""
        hop = self.model.mel.hop_samples
        shortest = self.model.mel.pad_samples + 1
        frames = -(-max(samples.shape[1], shortest) // hop)
        padded = fit(samples, frames * hop)
        return self._mel.blocks(torch.from_numpy(padded).to(self.device))

    def _audio(self, blocks: Iterable[Samples], channels: int, rate_hz: int | None = None) -> Audio:
        pieces = list(blocks) or [np.zeros((channels, 0), np.float32)]
        return Audio(np.concatenate(pieces, axis=1), rate_hz or self.rate_hz)
