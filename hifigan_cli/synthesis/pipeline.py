"""Run files, folders and pipes through one model: options in, events out.

    inputs -> mel blocks -> vocoder -> blocks of samples -> files

`SynthesisPipeline` contains everything that recordings and mels share: it finds the model, writes
audio, and reports. Its two subclasses, `Resynthesis` and `MelSynthesis`, turn an input into mel
blocks.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.wav_stream import WavStreamWriter
from hifigan_cli.audio.writing import audio_writer, container_for
from hifigan_cli.engines.selection import EngineOptions
from hifigan_cli.errors import InputError
from hifigan_cli.importers.model_lookup import locate_model, open_model
from hifigan_cli.io.files import check_output
from hifigan_cli.io.tensor_file import read_description
from hifigan_cli.models.model_file import read_architecture
from hifigan_cli.runtime.devices import describe_device
from hifigan_cli.runtime.sharding import UNSHARDED, Shard
from hifigan_cli.runtime.torchrun import process_device
from hifigan_cli.synthesis.events import AudioWritten, EventHandler
from hifigan_cli.synthesis.file_pipeline import FilePipeline
from hifigan_cli.synthesis.inputs import SynthesisInput
from hifigan_cli.synthesis.vocoder import Vocoder
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.types import FloatArray

# Mel frames that are computed while the previous file is synthesized. For batches this is most of
# the files completely (three minutes at the paper's hop length), so that these can share a batch.
_FRAMES_AHEAD, _FRAMES_AHEAD_FOR_BATCHES = 1 << 10, 1 << 14
_FILES_PER_BATCH = 32  # on devices that need batches


@dataclass(frozen=True)
class SynthesisOptions:
    """Options of a synthesis run.

    Attributes:
        model: a model file, the folder of a training run, or a name; None is the default model.
        engine: engine, precision, device and threads.
        chunk_frames: frames per chunk; 0 is automatic.
        shard: the part of the files that this process handles.
        force: overwrite existing results.
        raw: write no WAV header to a pipe.
    """

    model: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    chunk_frames: int = 0
    shard: Shard = UNSHARDED
    force: bool = False
    raw: bool = False


@dataclass(frozen=True)
class SynthesisPreview:
    """Preview of a run that writes nothing.

    Attributes:
        lengths_s: seconds of speech for each file that would be written.
        existing: number of existing results that would be skipped.
        unreadable: errors of the inputs that cannot be read.
        estimated_s: estimated processing time, in seconds.
    """

    lengths_s: dict[Job, float]
    existing: int
    unreadable: list[InputError]
    estimated_s: float


class SynthesisPipeline(FilePipeline[SynthesisInput, AudioWritten]):
    """Inputs -> speech with one model on one device.

    Attributes:
        options: options of the run.
        path: the model file.
        mel: the mel configuration of the model.
        model_name: the display name of the model; set when it is loaded.
    """

    out_suffix = ".wav"
    model_name: str

    def __init__(self, options: SynthesisOptions, report: EventHandler) -> None:
        """Find the model; it is loaded on first use.

        Raises:
            ModelError: the model does not exist or is damaged.
        """
        super().__init__(report, options.shard, force=options.force)
        self.options = options
        self.path = locate_model(options.model)
        self.mel, _ = read_architecture(self.path, read_description(self.path))

    @abstractmethod
    def length_s(self, path: Path) -> float:
        """Return the duration of a file's speech in seconds, without synthesis.

        Raises:
            InputError: the file cannot be used.
        """

    def check_target(self, target: Path) -> None:
        """Check that the file name has a supported audio format."""
        container_for(target)

    def prepare(self, jobs: Sequence[Job]) -> None:  # noqa: ARG002 - a subclass uses them
        """Load the model before the first job."""
        # Load it in this thread: the torch thread count applies to the thread that sets it.
        _ = self.vocoder

    @cached_property
    def vocoder(self) -> Vocoder:
        """The loaded model."""
        engine_options = self.options.engine
        vocoder = Vocoder(
            open_model(self.options.model),
            replace(engine_options, device=process_device(engine_options.device)),
            self.options.chunk_frames,
            self._report_halved_chunk,
        )
        self.model_name = str(vocoder.model.provenance.get("name", self.path.stem))
        engine = vocoder.engine
        precision = "" if engine.precision == "fp32" else f", {engine.precision}"
        title = f"{describe_device(vocoder.device)} ({engine.name} engine{precision})"
        self.report(Notice(f"{self.model_name} on {title}"))
        return vocoder

    def preview(self, sources: Sequence[Path], out: Path) -> SynthesisPreview:
        """List the work of `run_files` and estimate its duration; write nothing."""
        job_list = self.list_jobs(sources, out)
        if not job_list.is_multi_file:
            check_output(job_list.jobs[0].target, job_list.force, job_list.jobs[0].source)
        pending = job_list.pending()
        if not pending:
            return SynthesisPreview({}, len(job_list.jobs), [], 0.0)
        self.prepare(pending)
        lengths_s: dict[Job, float] = {}
        unreadable = []
        for job in pending:
            try:
                lengths_s[job] = self.length_s(job.source)
            except InputError as error:
                if not job_list.is_multi_file:
                    raise
                unreadable.append(error)
        estimated_s = sum(lengths_s.values()) / self.vocoder.measure_speed()
        return SynthesisPreview(
            lengths_s, len(job_list.jobs) - len(pending), unreadable, estimated_s
        )

    @property
    def group_size(self) -> int:
        """Number of files that are read ahead and synthesized together."""
        return _FILES_PER_BATCH if self._prefers_batches else 1

    def read_ahead(self, item: SynthesisInput) -> None:
        """Compute the first frames of an input's mel while the previous file is synthesized."""
        item.read_ahead(_FRAMES_AHEAD_FOR_BATCHES if self._prefers_batches else _FRAMES_AHEAD)

    def synthesize(self, items: Sequence[SynthesisInput]) -> list[Iterator[FloatArray]]:
        """Synthesize inputs; several share a batch if their mels were computed ahead."""
        for item in items:
            for notice in item.notices:
                self.report(notice)
            item.notices = ()  # report them once, even if a group is retried file by file
        batch = [item for item in items if item.all_blocks] if len(items) > 1 else []
        mels = [np.concatenate(item.all_blocks, axis=-1) for item in batch]
        started = time.perf_counter()
        waves = dict(zip(map(id, batch), self.vocoder.vocode_batch(mels), strict=True))
        per_frame_s = (time.perf_counter() - started) / max(1, sum(mel.shape[-1] for mel in mels))
        results = []
        for item in items:
            if id(item) in waves:
                wave = waves[id(item)]
                blocks, spent_s = iter([wave]), per_frame_s * wave.shape[-1] / self.mel.hop_length
            else:
                blocks = self.vocoder.vocode_blocks(item.mel_blocks, low_latency=item.low_latency)
                spent_s = 0.0
            results.append(item.timed(item.postprocess(blocks), spent_s))
        return results

    def write(self, job: Job, item: SynthesisInput, blocks: Iterator[FloatArray]) -> AudioWritten:
        """Write a result to a job's target, atomically.

        Raises:
            OutputError: the file cannot be written.
        """
        n_samples = 0
        with audio_writer(job.target, item.sample_rate, item.channels) as writer:
            for block in blocks:
                writer.write(block)
                n_samples += block.shape[1]
        return AudioWritten(
            job.source,
            job.target,
            n_samples,
            item.sample_rate,
            item.channels,
            writer.clipped,
            elapsed_s=time.perf_counter() - item.started_s,
        )

    def report_written(self, result: AudioWritten) -> None:
        """Report a written file."""
        self._report_clipped(result.target, result.clipped)
        self.report(result)

    def write_stream(
        self, out: IO[bytes], item: SynthesisInput, blocks: Iterator[FloatArray]
    ) -> None:
        """Write a result to a pipe, as WAV or as raw samples."""
        writer = WavStreamWriter(
            out, item.sample_rate, item.channels, item.get_n_samples, raw=self.options.raw
        )
        for block in blocks:
            writer.write(block)
        writer.close()
        self._report_clipped(Path("-"), writer.clipped)

    @property
    def _prefers_batches(self) -> bool:
        return "vocoder" in self.__dict__ and self.vocoder.prefers_batches

    def _report_clipped(self, target: Path, clipped: int) -> None:
        if clipped:
            self.report(Notice(f"{target}: {clipped} samples were clipped", warning=True))

    def _report_halved_chunk(self, frames: int) -> None:
        self.report(Notice(f"out of memory; reduced the chunk to {frames} frames", warning=True))
