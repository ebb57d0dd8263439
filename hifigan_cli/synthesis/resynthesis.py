"""Recordings -> mel -> speech: what `hifigan resynth` does."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.levels import level_notes
from hifigan_cli.audio.reading import audio_length_s
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.audio.resampling import resampled_length
from hifigan_cli.enhancement.stages import Enhancement, EnhancementOptions, load_enhancement
from hifigan_cli.synthesis.events import Note
from hifigan_cli.synthesis.inputs import SynthesisInput
from hifigan_cli.synthesis.pipeline import SynthesisPipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.audio.recording import Sound
    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.synthesis.pipeline import SynthesisOptions, SynthesisPreview
    from hifigan_cli.synthesis.vocoder import Vocoder
    from hifigan_cli.types import FloatArray


class RecordingInput(SynthesisInput):
    """A recording, whose mel is computed as it is asked for; the result has its length."""

    def __init__(
        self,
        sound: Sound,
        vocoder: Vocoder,
        enhancement: Enhancement,
        notes: list[Note],
        *,
        keep_rate: bool,
    ) -> None:
        rate_hz = sound.rate_hz if keep_rate else vocoder.rate_hz
        super().__init__(
            vocoder.analyse_blocks(sound, enhancement),
            rate_hz,
            sound.channels,
            resampled_length(sound.length, sound.rate_hz, rate_hz),
            notes,
        )
        self._sound, self._vocoder, self._keep_rate = sound, vocoder, keep_rate

    def fit(self, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Cut the samples to the recording's length, and convert their rate if asked for."""
        return self._vocoder.fit(blocks, self._sound, keep_rate=self._keep_rate)


class Resynthesis(SynthesisPipeline):
    """Recordings -> enhanced mel -> speech of the same length."""

    suffixes = AUDIO_SUFFIXES

    def __init__(
        self,
        options: SynthesisOptions,
        report: Report,
        enhancement: EnhancementOptions,
        *,
        repair: bool = False,
        mono: bool = False,
        keep_rate: bool = False,
    ) -> None:
        """Find the model.

        `repair` decodes as much of a damaged file as possible, `mono` mixes the channels into one,
        and `keep_rate` writes the recording's sample rate instead of the model's.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        super().__init__(options, report)
        self.mono = mono
        self._enhancement, self._repair, self._keep_rate = enhancement, repair, keep_rate

    @cached_property
    def enhancement(self) -> Enhancement:
        """The loaded stages that remove noise.

        Raises:
            UsageError: the filter was asked for and is not installed.
            ModelError: the filter or the enhancer is damaged, or does not fit the model.
        """
        vocoder = self.vocoder
        enhancement = load_enhancement(self._enhancement, vocoder.model.mel, vocoder.device)
        for text in enhancement.notes:
            self.report(Note(text, warning=True))
        self.report(Note(f"enhancement: {enhancement.title}"))
        return enhancement

    def preview(self, sources: Sequence[Path], out: Path) -> SynthesisPreview:
        """Measure a run, once the stages that remove noise are known to load."""
        _ = self.enhancement
        return super().preview(sources, out)

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load the model and the stages that remove noise."""
        super().prepare(jobs)
        _ = self.enhancement

    def open(self, source: Path | bytes) -> RecordingInput:
        """Look through a recording, or the bytes of one.

        Raises:
            InputError: not audio, damaged, empty, or with samples that are not numbers.
        """
        recording = open_recording(source, repair=self._repair)
        texts = [*recording.notes, *level_notes(recording)]
        sound = recording.mono() if self.mono else recording
        texts += self.enhancement.warnings(sound)
        notes = [Note(text, warning=True) for text in texts]
        return RecordingInput(
            sound, self.vocoder, self.enhancement, notes, keep_rate=self._keep_rate
        )

    def length_s(self, path: Path) -> float:
        """Return the length that an audio file's header announces."""
        return audio_length_s(path)
