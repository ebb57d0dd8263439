"""Files, folders and pipes through one model: options in, events out.

    inputs -> mel blocks -> vocoder -> blocks of samples -> files

`SynthesisPipeline` owns everything that is the same for recordings and for mels: it finds the
model, pairs inputs with outputs, schedules one file or many, writes, and reports. Its two kinds,
`Resynthesis` and `MelSynthesis`, say how an input becomes mel blocks.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

import numpy as np

from hifigan_cli.audio.wav_stream import WavStreamWriter
from hifigan_cli.audio.writing import audio_writer, container_of
from hifigan_cli.engines.choose import EngineOptions
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import check_output
from hifigan_cli.io.tensor_file import read_description
from hifigan_cli.models.model_file import read_architecture
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.runtime.sharding import WHOLE, Shard
from hifigan_cli.runtime.torchrun import device_of_process, wait_for_all
from hifigan_cli.synthesis.events import FileProgress, Note, Report, Synthesized
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults, plan_jobs
from hifigan_cli.synthesis.model_lookup import locate_model, open_model
from hifigan_cli.synthesis.overlap import run_overlapped
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.synthesis.inputs import SynthesisInput
    from hifigan_cli.types import FloatArray

# Mel frames that are computed while the file before is synthesized. On devices that want batches
# they hold most files completely (three minutes at the paper's hop), so that these share a batch.
_FRAMES_AHEAD, _FRAMES_AHEAD_OF_BATCHES = 1 << 10, 1 << 14
_FILES_PER_BATCH = 32  # on devices that want batches


@dataclass(frozen=True)
class SynthesisOptions:
    """What a run of synthesis works with.

    Attributes:
        model: a model file, the folder of a training run, or a name; None: the default model.
        engine: engine, precision, device and threads.
        chunk_frames: frames that are synthesized at once; 0: automatic.
        shard: which part of the files this process takes.
        force: overwrite results that exist.
    """

    model: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    chunk_frames: int = 0
    shard: Shard = WHOLE
    force: bool = False


@dataclass(frozen=True)
class SynthesisPreview:
    """What a run would do.

    Attributes:
        lengths_s: seconds of speech of each file that would be written.
        existing: results that exist and would be skipped.
        unreadable: errors of the inputs that cannot be read.
        estimate_s: seconds of work.
    """

    lengths_s: dict[Job, float]
    existing: int
    unreadable: list[InputError]
    estimate_s: float


class SynthesisPipeline(ABC):
    """Inputs -> speech with one model on one device.

    Attributes:
        options: what it works with.
        path: the model file.
        mel: the mel that the model reads.
    """

    suffixes: ClassVar[frozenset[str]]  # of the files that are taken from a folder

    def __init__(self, options: SynthesisOptions, report: Report) -> None:
        """Find the model; it is loaded when the first file needs it.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        self.options, self.report = options, report
        self.path = locate_model(options.model)
        self.mel, _ = read_architecture(self.path, read_description(self.path))

    @abstractmethod
    def open(self, source: Path | bytes) -> SynthesisInput:
        """Open a file, or the bytes of one; may run in another thread, ahead of time.

        Raises:
            InputError: it cannot be used.
        """

    @abstractmethod
    def length_s(self, path: Path) -> float:
        """Return the seconds of speech that a file gives, without synthesis.

        Raises:
            InputError: it cannot be used.
        """

    def open_stream(self, stream: IO[bytes]) -> SynthesisInput:
        """Open what arrives through a pipe."""
        return self.open(stream.read())

    def prepare(self, jobs: Sequence[Job]) -> None:  # noqa: ARG002 - of one of the kinds
        """Load what every file needs, before the first of several jobs."""
        # In this thread: torch counts threads by the thread that sets them.
        _ = self.vocoder

    @cached_property
    def vocoder(self) -> Vocoder:
        """The loaded model."""
        asked = self.options.engine
        vocoder = Vocoder(
            open_model(self.options.model),
            replace(asked, device=device_of_process(asked.device)),
            self.options.chunk_frames,
            self._chunk_halved,
        )
        engine = vocoder.engine
        precision = "" if engine.precision == "fp32" else f", {engine.precision}"
        title = f"{device_title(vocoder.device)} ({engine.name} engine{precision})"
        self.report(Note(f"{self._name_of(vocoder)} on {title}"))
        return vocoder

    @property
    def model_name(self) -> str:
        """The name of the model, for people."""
        return self._name_of(self.vocoder)

    def _name_of(self, vocoder: Vocoder) -> str:
        return str(vocoder.model.provenance.get("name", self.path.stem))

    def synthesize_files(self, sources: Sequence[Path], out: Path) -> JobResults:
        """Synthesize files, or all files of folders, into a file or a folder.

        A single file raises its error; of several, errors are collected in the result.

        Raises:
            HifiganError: of a single file, or of what every file needs.
        """
        batch = self._plan(sources, out)
        with wait_for_all(self.options.shard), batch.hold():
            if batch.many and (jobs := batch.waiting(force=self.options.force)):
                self.prepare(jobs)
            return run_overlapped(batch, self, force=self.options.force, report=self._progress)

    def synthesize_pipe(
        self, source: Path | IO[bytes], out: Path | IO[bytes], *, raw: bool = False
    ) -> None:
        """Synthesize with a pipe at one end or both; samples go out as soon as they are determined.

        `raw` leaves out the WAV header.

        Raises:
            HifiganError: the input cannot be used, or the output cannot be written.
        """
        if not self.options.shard.whole:
            raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
        if isinstance(out, Path):
            container_of(out)
            check_output(out, self.options.force)
        item = self.open(source) if isinstance(source, Path) else self.open_stream(source)
        ((_, blocks),) = self.synthesize([item])
        if isinstance(out, Path):
            self.written(self.write(Job(Path("-"), out), item, blocks))
            return
        writer = WavStreamWriter(out, item.rate_hz, item.channels, lambda: item.samples, raw=raw)
        for block in blocks:
            writer.write(block)
        writer.close()
        self._report_clipped(Path("-"), writer.clipped)

    def preview(self, sources: Sequence[Path], out: Path) -> SynthesisPreview:
        """Measure what `synthesize_files` would do, and how long it would take; write nothing."""
        batch, force = self._plan(sources, out), self.options.force
        if not batch.many:
            check_output(batch.jobs[0].target, force, batch.jobs[0].source)
        waiting = batch.waiting(force=force)
        lengths_s: dict[Job, float] = {}
        unreadable = []
        for job in waiting:
            try:
                lengths_s[job] = self.length_s(job.source)
            except InputError as error:
                if not batch.many:
                    raise
                unreadable.append(error)
        estimate_s = sum(lengths_s.values()) / self.vocoder.measure_speed()
        return SynthesisPreview(lengths_s, len(batch.jobs) - len(waiting), unreadable, estimate_s)

    def _plan(self, sources: Sequence[Path], out: Path) -> JobList:
        batch = plan_jobs(sources, out, self.suffixes, shard=self.options.shard)
        for job in batch.jobs[:1]:
            container_of(job.target)  # before any computing
        return batch

    # The stages of `run_overlapped`.

    @property
    def group_size(self) -> int:
        """Files that are synthesized at once, and read ahead."""
        return _FILES_PER_BATCH if self._wants_batches else 1

    def read(self, job: Job) -> SynthesisInput:
        """Open a job's source."""
        return self.open(job.source)

    def read_ahead(self, item: SynthesisInput) -> None:
        """Compute the beginning of an input's mel while the file before is synthesized."""
        item.read_ahead(_FRAMES_AHEAD_OF_BATCHES if self._wants_batches else _FRAMES_AHEAD)

    def synthesize(
        self, items: Sequence[SynthesisInput]
    ) -> list[tuple[SynthesisInput, Iterator[FloatArray]]]:
        """Synthesize inputs; several share batches if their mels were computed ahead."""
        for item in items:
            for note in item.notes:
                self.report(note)
            item.notes = ()  # once, also where a group is tried again file by file
        shared = [item for item in items if item.complete] if len(items) > 1 else []
        mels = [np.concatenate(item.complete, axis=-1) for item in shared if item.complete]
        started = time.perf_counter()
        waves = dict(zip(map(id, shared), self.vocoder.vocode_together(mels), strict=True))
        per_frame_s = (time.perf_counter() - started) / max(1, sum(mel.shape[-1] for mel in mels))
        results = []
        for item in items:
            if id(item) in waves:
                wave = waves[id(item)]
                blocks, spent_s = iter([wave]), per_frame_s * wave.shape[-1] / self.mel.hop_samples
            else:
                blocks = self.vocoder.vocode_blocks(item.mel_blocks, prompt=item.prompt)
                spent_s = 0.0
            results.append((item, item.timed(item.fit(blocks), spent_s)))
        return results

    def write(self, job: Job, item: SynthesisInput, blocks: Iterator[FloatArray]) -> Synthesized:
        """Write a result to a job's target, atomically.

        Raises:
            OutputError: the file system refused.
        """
        samples = 0
        with audio_writer(job.target, item.rate_hz, item.channels) as writer:
            for block in blocks:
                writer.write(block)
                samples += block.shape[1]
        elapsed_s = time.perf_counter() - item.started_s
        return Synthesized(
            job.source,
            job.target,
            samples,
            item.rate_hz,
            item.channels,
            writer.clipped,
            elapsed_s,
        )

    def written(self, result: Synthesized) -> None:
        """Report a file that was written."""
        self._report_clipped(result.target, result.clipped)
        self.report(result)

    @property
    def _wants_batches(self) -> bool:
        return "vocoder" in self.__dict__ and self.vocoder.wants_batches

    def _progress(self, done: int, total: int, job: Job | None) -> None:
        self.report(FileProgress(done, total, job.source if job else None))

    def _report_clipped(self, target: Path, clipped: int) -> None:
        if clipped:
            self.report(Note(f"{target}: {clipped} samples were held at full scale", warning=True))

    def _chunk_halved(self, frames: int) -> None:
        self.report(Note(f"out of memory: the chunk is halved to {frames} frames", warning=True))
