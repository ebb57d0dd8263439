"""What `vocode` and `resynth` share: one model, and files, folders or pipes that go through it.

A command says only how one source becomes blocks of samples; the session names the outputs, refuses
what must not be overwritten before anything is computed, writes, counts and reports.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.writing import container_of
from hifigan_cli.cli.outcome import run_reported
from hifigan_cli.cli.pipes import PIPE, is_piped, source_of, stdin_as_it_comes, stdout_writer
from hifigan_cli.cli.together import own_device, together
from hifigan_cli.cli.work import Begun, Opened, Speech, Work, Written, write_speech
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import check_output
from hifigan_cli.io.tensor_file import read_description
from hifigan_cli.models.model_file import read_architecture
from hifigan_cli.runtime.devices import device_title
from hifigan_cli.runtime.sharding import WHOLE, Shard
from hifigan_cli.synthesis.jobs import Job, Plan, plan
from hifigan_cli.synthesis.model_lookup import locate_model, open_model
from hifigan_cli.synthesis.overlap import Stages
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.cli.console import Console
    from hifigan_cli.engines.choose import EngineOptions
    from hifigan_cli.types import FloatArray


# Mel frames that are computed while the file before is synthesised. On devices that want batches
# they hold most files completely (three minutes at the paper's hop), so that these share a batch.
_FRAMES_AHEAD, _FRAMES_AHEAD_OF_BATCHES = 1 << 10, 1 << 14
_FILES_TOGETHER = 32  # on devices that want batches


class Session:
    """One run of a synthesis command with one model on one device, for a part of the files.

    Attributes:
        on_written: told each file that was made, once it is in its place.
    """

    def __init__(
        self,
        console: Console,
        model: str | None,
        wish: EngineOptions,
        chunk: int,
        part: Shard = WHOLE,
    ) -> None:
        self.console = console
        self.part = part
        self.path = locate_model(model)
        self.mel, _ = read_architecture(self.path, read_description(self.path))
        self.on_written: Callable[[Job, Written], None] = lambda _job, _written: None
        self._name, self._chunk = model, chunk
        self._wish = replace(wish, device=own_device(wish.device))

    @cached_property
    def vocoder(self) -> Vocoder:
        """The loaded model; the device is named once, here."""
        model = open_model(self._name)
        vocoder = Vocoder(model, self._wish, self._chunk, self._halved)
        name = vocoder.model.provenance.get("name", self.path.stem)
        engine = vocoder.engine
        precision = "" if engine.precision == "fp32" else f", {engine.precision}"
        self.console.note(
            f"{name} on {device_title(vocoder.device)} ({engine.name} engine{precision})"
        )
        return vocoder

    def run(
        self, sources: Sequence[Path], out: Path, work: Work, *, force: bool, bare: bool
    ) -> None:
        """Synthesise every source to where `out` says; `bare` samples have no header on stdout.

        Raises:
            BatchError: some files failed; the others were done.
        """
        if is_piped(self.console, sources, out):
            if not self.part.whole:
                raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
            if out == PIPE:
                self._to_stdout(self._speech_of(sources[0], work), bare=bare)
                return
        if bare:
            raise UsageError("--bare is for stdout; a file has a header", "-o -, or leave it out")
        if PIPE in sources:
            container_of(out)
            check_output(out, force)
            self._one(Job(PIPE, out), work)
            return
        todo = self._plan(sources, out, work.suffixes)
        with together(self.part):
            run_reported(
                self.console,
                "synthesis",
                todo,
                self._stages(todo, work, force=force)
                if todo.batch
                else lambda job: self._one(job, work),
                out,
                force=force,
            )

    def preview(self, sources: Sequence[Path], out: Path, work: Work, *, force: bool) -> None:
        """Say what `run` would do, and how long it would take; write nothing."""
        if PIPE in (*sources, out):
            raise UsageError("--dry-run looks at files, not at pipes", "name files")
        todo = self._plan(sources, out, work.suffixes)
        if not todo.batch:
            check_output(todo.jobs[0].target, force, todo.jobs[0].source)
        waiting = [job for job in todo.jobs if force or not os.path.lexists(job.target)]
        lengths_s: dict[Job, float] = {}
        for job in waiting:
            try:
                lengths_s[job] = work.length_s(job.source)
            except InputError as error:
                if not todo.batch:
                    raise
                self.console.warn(error.message)
        total_s = sum(lengths_s.values())
        estimate_s = total_s / self.vocoder.measure_speed()
        existing, bad = len(todo.jobs) - len(waiting), len(waiting) - len(lengths_s)
        self.console.result(
            "plan",
            f"{len(lengths_s)} files to make, {existing} exist, {bad} cannot be read; "
            f"{total_s:.1f} s of speech, about {estimate_s:.0f} s of work; nothing was written",
            to_make=[{"source": str(job.source), "target": str(job.target)} for job in lengths_s],
            existing=existing,
            unreadable=bad,
            length_s=total_s,
            estimate_s=estimate_s,
        )

    def _plan(self, sources: Sequence[Path], out: Path, suffixes: frozenset[str]) -> Plan:
        todo = plan(sources, out, suffixes)
        container_of(todo.jobs[0].target)  # before any computing
        return todo.share(self.part)

    def _one(self, job: Job, work: Work) -> None:
        started = time.perf_counter()
        speech = self._speech_of(job.source, work)
        self._report(job, write_speech(job, speech, speech.blocks, started))

    def _stages(self, todo: Plan, work: Work, *, force: bool) -> Stages[Opened, Begun, Written]:
        """Divide the work on many files among threads."""
        waiting = any(force or not os.path.lexists(job.target) for job in todo.jobs)
        if waiting:
            _ = self.vocoder  # made here: torch counts threads by the thread that sets them
            work.prepare()

        def read(job: Job) -> Opened:
            opened = work.open(job.source)
            ahead: list[FloatArray] = []
            missing = most
            for block in opened.mels:
                ahead.append(block)
                missing -= block.shape[-1]
                if missing <= 0:
                    break
            mels = chain(ahead, opened.mels)
            return replace(opened, mels=mels, complete=tuple(ahead) if missing > 0 else None)

        def make(sources: Sequence[Opened]) -> list[tuple[Begun, Iterator[FloatArray]]]:
            started = time.perf_counter()
            speeches = self._speak_together(sources)
            return [(Begun(speech, started), speech.blocks) for speech in speeches]

        def write(job: Job, begun: Begun, blocks: Iterator[FloatArray]) -> Written:
            return write_speech(job, begun.speech, blocks, begun.started)

        batches = waiting and self.vocoder.wants_batches
        together = _FILES_TOGETHER if batches else 1
        most = _FRAMES_AHEAD_OF_BATCHES if batches else _FRAMES_AHEAD
        return Stages(read, make, write, self._report, together)

    def _speak_together(self, sources: Sequence[Opened]) -> list[Speech]:
        """Make speech of sources; those whose mel is there as a whole may share batches."""
        if len(sources) == 1:
            return [self._speak(sources[0])]
        for opened in sources:
            self._say(opened)
        mels = [np.concatenate(each.complete, axis=-1) for each in sources if each.complete]
        made = iter(self.vocoder.vocode_together(mels))
        return [
            opened.speech(
                iter([next(made)]) if opened.complete else self.vocoder.vocode_blocks(opened.mels)
            )
            for opened in sources
        ]

    def _speech_of(self, path: Path, work: Work) -> Speech:
        """Make speech of a file, or of stdin for `-`."""
        if path == PIPE and work.incoming:
            return work.incoming(stdin_as_it_comes())
        return self._speak(work.open(source_of(path)))

    def _speak(self, opened: Opened) -> Speech:
        self._say(opened)
        return opened.speech(self.vocoder.vocode_blocks(opened.mels))

    def _say(self, opened: Opened) -> None:
        for note in opened.notes:
            self.console.note(note)
        for warning in opened.warnings:
            self.console.warn(warning)

    def _to_stdout(self, speech: Speech, *, bare: bool) -> None:
        with stdout_writer(speech.rate_hz, speech.channels, speech.samples, bare=bare) as writer:
            for block in speech.blocks:
                writer.write(block)
        self._say_clipped(PIPE, writer.clipped)

    def _say_clipped(self, target: Path, clipped: int) -> None:
        if clipped:
            self.console.warn(f"{target}: {clipped} samples were held at full scale")

    def _report(self, job: Job, written: Written) -> None:
        self._say_clipped(job.target, written.clipped)
        self.console.result(
            "synthesised",
            f"{job.target}: {written.length_s:.2f} s at {written.rate_hz} Hz "
            f"in {written.elapsed_s:.2f} s ({written.factor:.1f} x real time)",
            source=str(job.source),
            target=str(job.target),
            length_s=written.length_s,
            samples=written.samples,
            rate_hz=written.rate_hz,
            channels=written.channels,
            elapsed_s=written.elapsed_s,
            real_time_factor=written.factor,
        )
        self.on_written(job, written)

    def _halved(self, frames: int) -> None:
        self.console.warn(f"out of memory: the chunk is halved to {frames} frames")
