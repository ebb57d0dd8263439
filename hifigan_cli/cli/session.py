"""What `vocode` and `resynth` share: one model, and files, folders or pipes that go through it.

A command says only how one source becomes blocks of samples; the session names the outputs, refuses
what must not be overwritten before anything is computed, writes, counts and reports.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hifigan_cli.audio.files import check_output
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.writing import audio_writer, container_of, wav_bytes
from hifigan_cli.cli.outcome import run_reported
from hifigan_cli.cli.pipes import PIPE, is_piped, source_of, write_stdout
from hifigan_cli.cli.together import own_device, together
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.interchange.locate import locate_model, open_model
from hifigan_cli.models.devices import device_title
from hifigan_cli.models.modelfile import read_architecture
from hifigan_cli.models.tensorfile import read_description
from hifigan_cli.parts import WHOLE, Part
from hifigan_cli.synthesis.jobs import Job, Plan, plan
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.audio.reading import Samples
    from hifigan_cli.cli.console import Console
    from hifigan_cli.engines.choose import Wish


@dataclass(frozen=True)
class Speech:
    """Synthesis of one source, about to happen: blocks `(channels, samples)` as they are made."""

    blocks: Iterator[Samples]
    rate_hz: int
    channels: int


class Session:
    """One run of a synthesis command with one model on one device, for a part of the files."""

    def __init__(
        self, console: Console, model: str | None, wish: Wish, chunk: int, part: Part = WHOLE
    ) -> None:
        self.console = console
        self.part = part
        self.path = locate_model(model)
        self.mel, _ = read_architecture(self.path, read_description(self.path))
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
        self,
        sources: Sequence[Path],
        out: Path,
        suffixes: frozenset[str],
        load: Callable[[Path | bytes], Speech],
        *,
        force: bool,
    ) -> None:
        """Synthesise every source to where `out` says.

        Raises:
            BatchError: some files failed; the others were done.
        """
        if is_piped(self.console, sources, out):
            if not self.part.whole:
                raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
            self._pipe(sources[0], out, load, force=force)
            return
        todo = self._plan(sources, out, suffixes)
        with together(self.part):
            run_reported(
                self.console,
                "synthesis",
                todo,
                lambda job: self._one(job, load),
                out,
                force=force,
            )

    def preview(
        self,
        sources: Sequence[Path],
        out: Path,
        suffixes: frozenset[str],
        length_s: Callable[[Path], float],
        *,
        force: bool,
    ) -> None:
        """Say what `run` would do, and how long it would take; write nothing."""
        if PIPE in (*sources, out):
            raise UsageError("--dry-run looks at files, not at pipes", "name files")
        todo = self._plan(sources, out, suffixes)
        if not todo.batch:
            check_output(todo.jobs[0].target, force, todo.jobs[0].source)
        waiting = [job for job in todo.jobs if force or not os.path.lexists(job.target)]
        lengths_s: dict[Job, float] = {}
        for job in waiting:
            try:
                lengths_s[job] = length_s(job.source)
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

    def _one(self, job: Job, load: Callable[[Path | bytes], Speech]) -> None:
        started = time.perf_counter()
        speech = load(job.source)
        samples = 0
        with audio_writer(job.target, speech.rate_hz, speech.channels) as writer:
            for block in speech.blocks:
                writer.write(block)
                samples += block.shape[1]
        elapsed_s = time.perf_counter() - started
        if writer.clipped:
            self.console.warn(f"{job.target}: {writer.clipped} samples were held at full scale")
        self._report(str(job.source), str(job.target), speech, samples, elapsed_s)

    def _report(
        self, source: str, target: str, speech: Speech, samples: int, elapsed_s: float
    ) -> None:
        length_s = samples / speech.rate_hz
        factor = length_s / elapsed_s
        self.console.result(
            "synthesised",
            f"{target}: {length_s:.2f} s at {speech.rate_hz} Hz in {elapsed_s:.2f} s "
            f"({factor:.1f} x real time)",
            source=source,
            target=target,
            length_s=length_s,
            samples=samples,
            rate_hz=speech.rate_hz,
            channels=speech.channels,
            elapsed_s=elapsed_s,
            real_time_factor=factor,
        )

    def _pipe(
        self, path: Path, out: Path, load: Callable[[Path | bytes], Speech], *, force: bool
    ) -> None:
        if out == PIPE:
            speech = load(source_of(path))
            whole = collect(speech)
            write_stdout(wav_bytes(whole.samples, whole.rate_hz))
            return
        container_of(out)
        check_output(out, force)
        source = source_of(path)
        self._one(Job(PIPE, out), lambda _: load(source))

    def _halved(self, frames: int) -> None:
        self.console.warn(f"out of memory: the chunk is halved to {frames} frames")


def collect(speech: Speech) -> Audio:
    """Put the blocks of a synthesis together."""
    import numpy as np

    blocks = list(speech.blocks) or [np.zeros((speech.channels, 0), np.float32)]
    return Audio(np.concatenate(blocks, axis=1), speech.rate_hz)
