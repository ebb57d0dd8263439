"""Mel files and mels from a pipe -> speech, as in `hifigan vocode`."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from hifigan_cli.synthesis.input_mel import InputMel, open_mel, stream_mel
from hifigan_cli.synthesis.inputs import SynthesisInput
from hifigan_cli.synthesis.mel_files import MEL_SUFFIXES, torch_mel_files
from hifigan_cli.synthesis.mel_stream import MelStream
from hifigan_cli.synthesis.pipeline import SynthesisPipeline
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.io.untrusted import UntrustedFiles
    from hifigan_cli.synthesis.events import EventHandler
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


def _notices(mel: InputMel) -> list[Notice]:
    return [
        *(Notice(message) for message in mel.notes),
        *(Notice(message, warning=True) for message in mel.warnings),
    ]


class MelSynthesis(SynthesisPipeline):
    """Mels -> speech."""

    suffixes = MEL_SUFFIXES

    def __init__(
        self,
        options: SynthesisOptions,
        report: EventHandler,
        *,
        mel_as: str | None = None,
        transpose: bool = False,
        check: bool = True,
    ) -> None:
        """Find the model.

        `mel_as` is the scale of the mels, `transpose` accepts files that are (frames, n_mels), and
        `check=False` accepts any finite values.

        Raises:
            ModelError: the model does not exist or is damaged.
        """
        super().__init__(options, report)
        self._mel_as, self._transpose, self._check = mel_as, transpose, check
        self._torch_files: UntrustedFiles | None = None

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load the model; collect the PyTorch files, to read them in batches."""
        super().prepare(jobs)
        self._torch_files = torch_mel_files(job.source for job in jobs)

    def open(self, source: Path | bytes) -> SynthesisInput:
        """Open a mel file, or its bytes.

        Raises:
            InputError: not a mel that this model accepts.
        """
        mel = self._open_mel(source)
        n_samples = mel.array.shape[1] * self.mel.hop_length
        return SynthesisInput(
            mel.blocks(), self.mel.sample_rate, 1, lambda: n_samples, _notices(mel)
        )

    def open_stream(self, stream: IO[bytes]) -> SynthesisInput:
        """Open mel frames that arrive over time, preferably from an unbuffered stream."""

        def report(opened: InputMel) -> None:
            for notice in _notices(opened):
                self.report(notice)

        mel_stream = MelStream(stream, self.mel, transpose=self._transpose)
        blocks = stream_mel(
            mel_stream, self.mel, mel_as=self._mel_as, check=self._check, on_open=report
        )
        return SynthesisInput(
            blocks, self.mel.sample_rate, 1, mel_stream.n_samples, low_latency=True
        )

    def length_s(self, path: Path) -> float:
        """Return the duration of a mel file, in seconds of speech."""
        return self._open_mel(path).length_s

    def _open_mel(self, source: Path | bytes) -> InputMel:
        return open_mel(
            source,
            self.mel,
            mel_as=self._mel_as,
            transpose=self._transpose,
            check=self._check,
            torch_files=self._torch_files,
        )
