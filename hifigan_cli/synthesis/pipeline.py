"""Files, folders and pipes through one model: options in, events out.

    inputs -> mel blocks -> vocoder -> blocks of samples -> files

`SynthesisPipeline` owns what is the same for recordings and for mels: it finds the model, writes
audio, and reports. Its two kinds, `Resynthesis` and `MelSynthesis`, say how an input becomes mel
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
from hifigan_cli.audio.writing import audio_writer, container_of
from hifigan_cli.engines.choose import EngineOptions
from hifigan_cli.errors import InputError
from hifigan_cli.importers.model_lookup import locate_model, open_model
from hifigan_cli.io.files import check_output
from hifigan_cli.io.tensor_file import read_description
from hifigan_cli.models.model_file import read_architecture
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.runtime.sharding import WHOLE, Shard
from hifigan_cli.runtime.torchrun import device_of_process
from hifigan_cli.synthesis.events import Note, Report, Synthesized
from hifigan_cli.synthesis.file_pipeline import FilePipeline
from hifigan_cli.synthesis.inputs import SynthesisInput
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.synthesis.jobs import Job
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
        raw: write no WAV header to a pipe.
    """

    model: str | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    chunk_frames: int = 0
    shard: Shard = WHOLE
    force: bool = False
    raw: bool = False


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


class SynthesisPipeline(FilePipeline[SynthesisInput, Synthesized]):
    """Inputs -> speech with one model on one device.

    Attributes:
        options: what it works with.
        path: the model file.
        mel: the mel that the model reads.
        model_name: the name of the model, for people, once it is loaded.
    """

    out_suffix = ".wav"
    model_name: str

    def __init__(self, options: SynthesisOptions, report: Report) -> None:
        """Find the model; it is loaded when the first file needs it.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        super().__init__(report, options.shard, force=options.force)
        self.options = options
        self.path = locate_model(options.model)
        self.mel, _ = read_architecture(self.path, read_description(self.path))

    @abstractmethod
    def length_s(self, path: Path) -> float:
        """Return the seconds of speech that a file gives, without synthesis.

        Raises:
            InputError: it cannot be used.
        """

    def check_target(self, target: Path) -> None:
        """Check that audio can be written under such a name."""
        container_of(target)

    def prepare(self, jobs: Sequence[Job]) -> None:  # noqa: ARG002 - of one of the kinds
        """Load the model before the first job."""
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
        self.model_name = str(vocoder.model.provenance.get("name", self.path.stem))
        engine = vocoder.engine
        precision = "" if engine.precision == "fp32" else f", {engine.precision}"
        title = f"{device_title(vocoder.device)} ({engine.name} engine{precision})"
        self.report(Note(f"{self.model_name} on {title}"))
        return vocoder

    def preview(self, sources: Sequence[Path], out: Path) -> SynthesisPreview:
        """Measure what `run_files` would do, and how long it would take; write nothing."""
        batch = self.plan(sources, out)
        if not batch.many:
            check_output(batch.jobs[0].target, batch.force, batch.jobs[0].source)
        waiting = batch.waiting()
        if not waiting:
            return SynthesisPreview({}, len(batch.jobs), [], 0.0)
        self.prepare(waiting)
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

    @property
    def group_size(self) -> int:
        """Files that are synthesized at once, and read ahead."""
        return _FILES_PER_BATCH if self._wants_batches else 1

    def read_ahead(self, item: SynthesisInput) -> None:
        """Compute the beginning of an input's mel while the file before is synthesized."""
        item.read_ahead(_FRAMES_AHEAD_OF_BATCHES if self._wants_batches else _FRAMES_AHEAD)

    def synthesize(self, items: Sequence[SynthesisInput]) -> list[Iterator[FloatArray]]:
        """Synthesize inputs; several share batches if their mels were computed ahead."""
        for item in items:
            for note in item.notes:
                self.report(note)
            item.notes = ()  # once, also where a group is tried again file by file
        shared = [item for item in items if item.complete] if len(items) > 1 else []
        mels = [np.concatenate(item.complete, axis=-1) for item in shared]
        started = time.perf_counter()
        waves = dict(zip(map(id, shared), self.vocoder.vocode_together(mels), strict=True))
        per_frame_s = (time.perf_counter() - started) / max(1, sum(mel.shape[-1] for mel in mels))
        results = []
        for item in items:
            if id(item) in waves:
                wave = waves[id(item)]
                blocks, spent_s = iter([wave]), per_frame_s * wave.shape[-1] / self.mel.hop_length
            else:
                blocks = self.vocoder.vocode_blocks(item.mel_blocks, prompt=item.prompt)
                spent_s = 0.0
            results.append(item.timed(item.fit(blocks), spent_s))
        return results

    def write(self, job: Job, item: SynthesisInput, blocks: Iterator[FloatArray]) -> Synthesized:
        """Write a result to a job's target, atomically.

        Raises:
            OutputError: the file system refused.
        """
        samples = 0
        with audio_writer(job.target, item.sample_rate, item.channels) as writer:
            for block in blocks:
                writer.write(block)
                samples += block.shape[1]
        return Synthesized(
            job.source,
            job.target,
            samples,
            item.sample_rate,
            item.channels,
            writer.clipped,
            elapsed_s=time.perf_counter() - item.started_s,
        )

    def written(self, result: Synthesized) -> None:
        """Report a file that was written."""
        self._report_clipped(result.target, result.clipped)
        self.report(result)

    def write_stream(
        self, out: IO[bytes], item: SynthesisInput, blocks: Iterator[FloatArray]
    ) -> None:
        """Write a result to a pipe, as WAV or as bare samples."""
        writer = WavStreamWriter(
            out, item.sample_rate, item.channels, item.samples, raw=self.options.raw
        )
        for block in blocks:
            writer.write(block)
        writer.close()
        self._report_clipped(Path("-"), writer.clipped)

    @property
    def _wants_batches(self) -> bool:
        return "vocoder" in self.__dict__ and self.vocoder.wants_batches

    def _report_clipped(self, target: Path, clipped: int) -> None:
        if clipped:
            self.report(Note(f"{target}: {clipped} samples were held at full scale", warning=True))

    def _chunk_halved(self, frames: int) -> None:
        self.report(Note(f"out of memory: the chunk is halved to {frames} frames", warning=True))
