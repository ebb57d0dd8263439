"""Recordings -> mel -> speech: what `hifigan resynth` does."""

from __future__ import annotations

from functools import cached_property, partial
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
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


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
        keep_sample_rate: bool = False,
    ) -> None:
        """Find the model.

        `repair` decodes as much of a damaged file as possible, `mono` mixes the channels into one,
        and `keep_sample_rate` writes the recording's sample rate instead of the model's.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        super().__init__(options, report)
        self.mono = mono
        self._enhancement, self._repair, self._keep_sample_rate = (
            enhancement,
            repair,
            keep_sample_rate,
        )

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

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load the model and the stages that remove noise."""
        super().prepare(jobs)
        _ = self.enhancement

    def open(self, source: Path | bytes) -> SynthesisInput:
        """Look through a recording, or the bytes of one; its mel is computed as it is asked for.

        Raises:
            InputError: not audio, damaged, empty, or with samples that are not numbers.
        """
        recording = open_recording(source, repair=self._repair)
        texts = [*recording.notes, *level_notes(recording)]
        sound = recording.mono() if self.mono else recording
        texts += self.enhancement.warnings(sound)
        sample_rate = sound.sample_rate if self._keep_sample_rate else self.mel.sample_rate
        length = resampled_length(sound.length, sound.sample_rate, sample_rate)
        return SynthesisInput(
            self.vocoder.analyse_blocks(sound, self.enhancement),
            sample_rate,
            sound.channels,
            lambda: length,
            [Note(text, warning=True) for text in texts],
            partial(self.vocoder.fit, sound=sound, keep_sample_rate=self._keep_sample_rate),
        )

    def length_s(self, path: Path) -> float:
        """Return the length that an audio file's header announces."""
        return audio_length_s(path)
