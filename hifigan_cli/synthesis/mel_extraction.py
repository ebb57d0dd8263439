"""Recordings -> mel files that `hifigan vocode` reads: what `hifigan mel` does."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import write_bytes
from hifigan_cli.runtime.sharding import WHOLE, Shard
from hifigan_cli.synthesis.events import MelWritten, Note
from hifigan_cli.synthesis.file_pipeline import FilePipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.config import MelConfig
    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.types import FloatArray


class MelExtraction(FilePipeline[Audio, MelWritten]):
    """Recordings, mixed to mono -> log-mels `(n_mels, frames)`, float32, as .npy.

    `repair` decodes as much of a damaged file as possible; `force` overwrites results that exist.
    """

    suffixes = AUDIO_SUFFIXES
    out_suffix = ".npy"

    def __init__(
        self,
        mel: MelConfig,
        report: Report,
        *,
        repair: bool = False,
        shard: Shard = WHOLE,
        force: bool = False,
    ) -> None:
        super().__init__(report, shard, force=force)
        self._mel, self._repair = mel, repair

    def check_target(self, target: Path) -> None:
        """Check that a mel goes into an .npy file."""
        if target.suffix != self.out_suffix:
            hint = f"-o {target.stem}{self.out_suffix}"
            raise UsageError(f"{target}: a mel is written as {self.out_suffix}", hint)

    def open(self, source: Path | bytes) -> Audio:
        """Read a recording, or the bytes of one."""
        return read_audio(source, repair=self._repair)

    def read_ahead(self, audio: Audio) -> None:
        """Do nothing: the recording is in memory."""

    def synthesize(self, items: Sequence[Audio]) -> list[Iterator[FloatArray]]:
        """Compute the mels of recordings, one block each."""
        for audio in items:
            for text in audio.notes:
                self.report(Note(text, warning=True))
        return [iter([audio_to_mel(audio, self._mel)]) for audio in items]

    def write(self, job: Job, _: Audio, blocks: Iterator[FloatArray]) -> MelWritten:
        """Write a mel to a job's target, atomically."""
        mel = next(blocks)
        write_bytes(job.target, _npy(mel))
        return MelWritten(job.source, job.target, *mel.shape)

    def write_stream(self, out: IO[bytes], _: Audio, blocks: Iterator[FloatArray]) -> None:
        """Write a mel to a pipe."""
        out.write(_npy(next(blocks)))
        out.flush()

    def written(self, result: MelWritten) -> None:
        """Report a mel that was written."""
        self.report(result)


def _npy(array: FloatArray) -> bytes:
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()
