"""Recordings -> mel files that `hifigan vocode` reads: what `hifigan mel` does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import check_output, write_bytes
from hifigan_cli.runtime.sharding import WHOLE, Shard
from hifigan_cli.runtime.torchrun import wait_for_all
from hifigan_cli.synthesis.events import FileProgress, MelWritten, Note
from hifigan_cli.synthesis.jobs import Job, JobResults, plan_jobs
from hifigan_cli.synthesis.overlap import run_overlapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.config import MelConfig
    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.types import FloatArray

_SUFFIX = ".npy"


class MelExtraction:
    """Recordings, mixed to mono -> log-mels `(n_mels, frames)`, float32, as .npy.

    `repair` decodes as much of a damaged file as possible; `force` overwrites results that exist.
    """

    group_size = 1  # a stage of `run_overlapped`, as the methods below

    def __init__(
        self,
        mel: MelConfig,
        report: Report,
        *,
        repair: bool = False,
        shard: Shard = WHOLE,
        force: bool = False,
    ) -> None:
        self.mel, self.report = mel, report
        self._repair, self._shard, self._force = repair, shard, force

    def extract_files(self, sources: Sequence[Path], out: Path) -> JobResults:
        """Extract the mels of files, or of all files of folders, into a file or a folder.

        A single file raises its error; of several, errors are collected in the result.

        Raises:
            HifiganError: of a single file, or of what every file needs.
        """
        batch = plan_jobs(sources, out, AUDIO_SUFFIXES, _SUFFIX, self._shard)
        for job in batch.jobs[:1]:
            _check_suffix(job.target)
        with wait_for_all(self._shard), batch.hold():
            return run_overlapped(batch, self, force=self._force, report=self._progress)

    def extract_pipe(self, source: Path | IO[bytes], out: Path | IO[bytes]) -> None:
        """Extract a mel with a pipe at one end or both.

        Raises:
            HifiganError: the input cannot be used, or the output cannot be written.
        """
        if not self._shard.whole:
            raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
        if isinstance(out, Path):
            _check_suffix(out)
            check_output(out, self._force)
        audio = read_audio(
            source if isinstance(source, Path) else source.read(), repair=self._repair
        )
        ((array, blocks),) = self.synthesize([audio])
        if isinstance(out, Path):
            self.written(self.write(Job(Path("-"), out), array, blocks))
        else:
            out.write(_npy(array))
            out.flush()

    def read(self, job: Job) -> Audio:
        """Read a recording."""
        return read_audio(job.source, repair=self._repair)

    def read_ahead(self, audio: Audio) -> None:
        """Do nothing: the recording is in memory."""

    def synthesize(self, items: Sequence[Audio]) -> list[tuple[FloatArray, Iterator[FloatArray]]]:
        """Compute the mels of recordings."""
        for audio in items:
            for text in audio.notes:
                self.report(Note(text, warning=True))
        return [(audio_to_mel(audio, self.mel), iter(())) for audio in items]

    def write(self, job: Job, array: FloatArray, _: Iterator[FloatArray]) -> MelWritten:
        """Write a mel to a job's target, atomically."""
        write_bytes(job.target, _npy(array))
        return MelWritten(job.source, job.target, *array.shape)

    def written(self, result: MelWritten) -> None:
        """Report a mel that was written."""
        self.report(result)

    def _progress(self, done: int, total: int, job: Job | None) -> None:
        self.report(FileProgress(done, total, job.source if job else None))


def _check_suffix(target: Path) -> None:
    if target.suffix != _SUFFIX:
        raise UsageError(f"{target}: a mel is written as {_SUFFIX}", f"-o {target.stem}{_SUFFIX}")


def _npy(array: FloatArray) -> bytes:
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()
