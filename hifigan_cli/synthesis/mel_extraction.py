"""Recordings -> mel files for `hifigan vocode`, as in `hifigan mel`."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import write_bytes
from hifigan_cli.runtime.sharding import UNSHARDED, Shard
from hifigan_cli.synthesis.events import MelWritten
from hifigan_cli.synthesis.file_pipeline import FilePipeline
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.config import MelConfig
    from hifigan_cli.synthesis.events import EventHandler
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.types import FloatArray


class MelExtraction(FilePipeline[Audio, MelWritten]):
    """Recordings, mixed to mono -> log-mels `(n_mels, frames)`, float32, as .npy.

    `repair` decodes as much of a damaged file as possible; `force` overwrites existing results.
    """

    suffixes = AUDIO_SUFFIXES
    out_suffix = ".npy"

    def __init__(
        self,
        mel: MelConfig,
        report: EventHandler,
        *,
        repair: bool = False,
        shard: Shard = UNSHARDED,
        force: bool = False,
    ) -> None:
        super().__init__(report, shard, force=force)
        self._mel, self._repair = mel, repair

    def check_target(self, target: Path) -> None:
        """Check that the output is a .npy file."""
        if target.suffix != self.out_suffix:
            hint = f"use -o {target.stem}{self.out_suffix}"
            raise UsageError(f"{target} is not a {self.out_suffix} file", hint)

    def open(self, source: Path | bytes) -> Audio:
        """Read a recording from a file or from bytes."""
        return read_audio(source, repair=self._repair)

    def read_ahead(self, audio: Audio) -> None:
        """Do nothing: `open` has read the recording."""

    def synthesize(self, items: Sequence[Audio]) -> list[Iterator[FloatArray]]:
        """Compute the mel of each recording, as one block."""
        for audio in items:
            for text in audio.notes:
                self.report(Notice(text, warning=True))
        return [iter([audio_to_mel(audio, self._mel)]) for audio in items]

    def write(self, job: Job, _: Audio, blocks: Iterator[FloatArray]) -> MelWritten:
        """Write a mel to a job's target, atomically."""
        mel = next(blocks)
        write_bytes(job.target, _encode_npy(mel))
        return MelWritten(job.source, job.target, *mel.shape)

    def write_stream(self, out: IO[bytes], _: Audio, blocks: Iterator[FloatArray]) -> None:
        """Write a mel to a pipe."""
        out.write(_encode_npy(next(blocks)))
        out.flush()

    def report_written(self, result: MelWritten) -> None:
        """Report a written mel."""
        self.report(result)


def _encode_npy(array: FloatArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
