"""Recordings -> mel -> speech, as in `hifigan resynth`."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.levels import level_notes
from hifigan_cli.audio.reading import audio_length_s
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.audio.resampling import resampled_length
from hifigan_cli.enhancement.stages import Enhancement, EnhancementOptions, load_enhancement
from hifigan_cli.synthesis.inputs import SynthesisInput
from hifigan_cli.synthesis.pipeline import SynthesisPipeline
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.synthesis.events import EventHandler
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


class Resynthesis(SynthesisPipeline):
    """Recordings -> enhanced mel -> speech of the same length."""

    suffixes = AUDIO_SUFFIXES

    def __init__(
        self,
        options: SynthesisOptions,
        report: EventHandler,
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
            ModelError: the model does not exist or is damaged.
        """
        super().__init__(options, report)
        self.mono = mono
        self._enhancement_options, self._repair = enhancement, repair
        self._keep_sample_rate = keep_sample_rate

    @cached_property
    def enhancement(self) -> Enhancement:
        """The loaded enhancement stages.

        Raises:
            UsageError: the noise filter was requested but is not installed.
            ModelError: the filter or the enhancer is damaged, or does not match the model.
        """
        options, vocoder = self._enhancement_options, self.vocoder
        enhancement = load_enhancement(options, vocoder.model.mel, vocoder.device)
        for text in enhancement.notes:
            self.report(Notice(text, warning=True))
        self.report(Notice(f"enhancement: {enhancement.title}"))
        return enhancement

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load the model and the enhancement stages."""
        super().prepare(jobs)
        _ = self.enhancement

    def open(self, source: Path | bytes) -> SynthesisInput:
        """Check a recording, or its bytes; its mel is computed lazily.

        Raises:
            InputError: not audio, damaged, empty, or with NaN or infinite samples.
        """
        recording = open_recording(source, repair=self._repair)
        texts = [*recording.notes, *level_notes(recording)]
        sound = recording.mono() if self.mono else recording
        texts += self.enhancement.warnings(sound)
        sample_rate = sound.sample_rate if self._keep_sample_rate else self.mel.sample_rate
        length = resampled_length(sound.length, sound.sample_rate, sample_rate)
        return SynthesisInput(
            self.vocoder.analyze_blocks(sound, self.enhancement),
            sample_rate,
            sound.channels,
            lambda: length,
            [Notice(text, warning=True) for text in texts],
            partial(
                self.vocoder.match_length, sound=sound, keep_sample_rate=self._keep_sample_rate
            ),
        )

    def length_s(self, path: Path) -> float:
        """Return the duration from an audio file's header."""
        return audio_length_s(path)
