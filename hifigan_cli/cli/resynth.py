"""`hifigan resynth`: recordings -> mel -> speech."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import enhancing, options, resynth_report
from hifigan_cli.cli.blas import calm_blas
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.audio.recording import Sound
    from hifigan_cli.cli.session import Session
    from hifigan_cli.cli.work import Opened, Speech
    from hifigan_cli.enhancement.stages import Enhancement, EnhancementOptions
    from hifigan_cli.types import FloatArray


def resynth(
    recordings: Annotated[
        list[Path], typer.Argument(readable=False, help="Audio files, a folder, or - for stdin.")
    ],
    out: options.Out,
    model: options.Model = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    engine: options.Engine = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    enhance: enhancing.Enhance = None,
    no_enhance: enhancing.NoEnhance = False,
    enhancer: enhancing.Enhancer = None,
    attenuation_limit: enhancing.Limit = None,
    keep_rate: Annotated[
        bool, typer.Option("--keep-rate", help="Write the input's rate, not the model's.")
    ] = False,
    mono: Annotated[
        bool, typer.Option("--mono", help="Mix the channels into one; else each is kept.")
    ] = False,
    repair: options.Repair = False,
    bare: options.Bare = False,
    chunk: options.Chunk = 0,
    shard: options.ShardOption = None,
    report: resynth_report.Report = None,
    report_players: resynth_report.Players = 12,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove noise and reverberation from recordings, and synthesise them from their mels.

    Any rate and any number of channels; the result has the input's length. DeepFilterNet3 filters
    the recording, then a network of ours restores its mel. With --no-enhance noise and
    reverberation are reproduced: a vocoder is faithful to its mel.
    """
    calm_blas()
    from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
    from hifigan_cli.audio.reading import audio_length_s
    from hifigan_cli.cli.session import Session
    from hifigan_cli.cli.together import chosen_part
    from hifigan_cli.cli.work import Work

    console = Console(json=json, quiet=quiet)
    enhancement = enhancing.enhancement_options(enhance, no_enhance, enhancer, attenuation_limit)
    asked = options.wish(engine, precision, threads, device, gpu)
    session = Session(console, model, asked, chunk, chosen_part(shard))
    source = _SoundSource(session, enhancement, repair, mono, keep_rate)
    work = Work(AUDIO_SUFFIXES, source.opened, audio_length_s, prepare=source.enhancement)
    if report:
        resynth_report.check_report(report, recordings, out, session, force)
    if dry_run:
        session.preview(recordings, out, work, force=force)
        return
    with resynth_report.reported(report, session, source.enhancement, report_players, mono=mono):
        session.run(recordings, out, work, force=force, bare=bare)


@dataclass(frozen=True)
class _SoundSource:
    """How recordings are read, enhanced, and returned at their length."""

    session: Session
    options: EnhancementOptions
    repair: bool
    mono: bool
    keep_rate: bool

    @cached_property
    def _enhancement(self) -> Enhancement:
        session = self.session
        return enhancing.enhancement_for(session.vocoder, self.options, session.console)

    def enhancement(self) -> Enhancement:
        """Return the stages that remove noise, loaded at the first call.

        Raises:
            UsageError: the filter was asked for and is not installed.
            ModelError: filter or enhancer are damaged, or do not fit where they were asked for.
        """
        return self._enhancement

    def opened(self, source: Path | bytes) -> Opened:
        """Look through a recording, or its bytes; its mel is computed as it is asked for.

        Raises:
            InputError: not audio, damaged, empty, or with samples that are not numbers.
        """
        from hifigan_cli.audio.levels import level_notes
        from hifigan_cli.audio.recording import open_recording
        from hifigan_cli.cli.work import Opened

        recording = open_recording(source, repair=self.repair)
        warnings = [*recording.notes, *level_notes(recording)]
        sound = recording.mono() if self.mono else recording
        warnings += self.enhancement().warnings(sound)
        mels = self.session.vocoder.analyse_blocks(sound, self.enhancement())
        return Opened(mels, lambda blocks: self._speech(sound, blocks), warnings=warnings)

    def _speech(self, sound: Sound, blocks: Iterator[FloatArray]) -> Speech:
        from hifigan_cli.audio.resampling import resampled_length
        from hifigan_cli.cli.work import Speech

        vocoder = self.session.vocoder
        rate_hz = sound.rate_hz if self.keep_rate else vocoder.rate_hz
        samples = resampled_length(sound.length, sound.rate_hz, rate_hz)
        fitted = vocoder.fit(blocks, sound, keep_rate=self.keep_rate)
        return Speech(fitted, rate_hz, sound.channels, lambda: samples)
