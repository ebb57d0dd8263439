"""Mel files and mels that arrive through a pipe -> speech: what `hifigan vocode` does."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from hifigan_cli.synthesis.events import Note
from hifigan_cli.synthesis.input_mel import InputMel, open_mel, stream_mel
from hifigan_cli.synthesis.inputs import SynthesisInput
from hifigan_cli.synthesis.mel_files import MEL_SUFFIXES, torch_mels
from hifigan_cli.synthesis.mel_stream import MelStream
from hifigan_cli.synthesis.pipeline import SynthesisPipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.io.untrusted import UntrustedFiles
    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


def _notes(mel: InputMel) -> list[Note]:
    return [
        *(Note(text) for text in mel.notes),
        *(Note(text, warning=True) for text in mel.doubts),
    ]


class MelSynthesis(SynthesisPipeline):
    """Mels -> speech."""

    suffixes = MEL_SUFFIXES

    def __init__(
        self,
        options: SynthesisOptions,
        report: Report,
        *,
        mel_as: str | None = None,
        transpose: bool = False,
        check: bool = True,
    ) -> None:
        """Find the model.

        `mel_as` names the scale of the mels, `transpose` takes files that are (frames, n_mels), and
        without `check` any finite values pass.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        super().__init__(options, report)
        self._mel_as, self._transpose, self._check = mel_as, transpose, check
        self._batches: UntrustedFiles | None = None

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load the model; PyTorch files among the mels are read by batches."""
        super().prepare(jobs)
        self._batches = torch_mels(job.source for job in jobs)

    def open(self, source: Path | bytes) -> SynthesisInput:
        """Open a mel file, or the bytes of one.

        Raises:
            InputError: not a mel that the model reads.
        """
        mel = self._open_mel(source)
        samples = mel.array.shape[1] * self.mel.hop_length
        return SynthesisInput(mel.blocks(), self.mel.sample_rate, 1, lambda: samples, _notes(mel))

    def open_stream(self, stream: IO[bytes]) -> SynthesisInput:
        """Open mel frames that arrive over time; best without a buffer."""

        def report(opened: InputMel) -> None:
            for note in _notes(opened):
                self.report(note)

        frames = MelStream(stream, self.mel, transpose=self._transpose)
        blocks = stream_mel(
            frames, self.mel, mel_as=self._mel_as, check=self._check, on_open=report
        )
        return SynthesisInput(blocks, self.mel.sample_rate, 1, frames.samples, prompt=True)

    def length_s(self, path: Path) -> float:
        """Return the seconds of speech that a mel file gives."""
        return self._open_mel(path).length_s

    def _open_mel(self, source: Path | bytes) -> InputMel:
        return open_mel(
            source,
            self.mel,
            mel_as=self._mel_as,
            transpose=self._transpose,
            check=self._check,
            batches=self._batches,
        )
