"""Mel files and mels that arrive through a pipe -> speech: what `hifigan vocode` does."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from hifigan_cli.synthesis.events import Note
from hifigan_cli.synthesis.given import Given, take, take_incoming
from hifigan_cli.synthesis.incoming import IncomingMel
from hifigan_cli.synthesis.melfiles import MEL_SUFFIXES
from hifigan_cli.synthesis.pipeline import SynthesisInput, SynthesisPipeline

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.synthesis.pipeline import SynthesisOptions


def _notes(given: Given) -> list[Note]:
    return [
        *(Note(text) for text in given.notes),
        *(Note(text, warning=True) for text in given.doubts),
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

    def open(self, source: Path | bytes) -> SynthesisInput:
        """Open a mel file, or the bytes of one.

        Raises:
            InputError: not a mel that the model reads.
        """
        given = self._take(source)
        samples = given.array.shape[1] * self.mel.hop_samples
        return SynthesisInput(given.blocks(), self.mel.rate_hz, 1, samples, _notes(given))

    def open_stream(self, stream: IO[bytes]) -> SynthesisInput:
        """Open mel frames that arrive over time; best without a buffer."""
        return _MelStreamInput(
            IncomingMel(stream, self.mel, transpose=self._transpose),
            self,
            self._mel_as,
            self._check,
        )

    def length_s(self, path: Path) -> float:
        """Return the seconds of speech that a mel file gives."""
        return self._take(path).length_s

    def _take(self, source: Path | bytes) -> Given:
        return take(
            source, self.mel, taken_as=self._mel_as, transpose=self._transpose, check=self._check
        )


class _MelStreamInput(SynthesisInput):
    """Mel frames that arrive over time."""

    prompt = True

    def __init__(
        self, incoming: IncomingMel, pipeline: MelSynthesis, mel_as: str | None, check: bool
    ) -> None:
        def report(given: Given) -> None:
            for note in _notes(given):
                pipeline.report(note)

        mel = pipeline.mel
        blocks = take_incoming(incoming, mel, taken_as=mel_as, check=check, on_given=report)
        super().__init__(blocks, mel.rate_hz)
        self._incoming, self._hop = incoming, mel.hop_samples

    @property
    def samples(self) -> int | None:
        frames = self._incoming.frames
        return None if frames is None else frames * self._hop
