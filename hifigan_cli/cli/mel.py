"""`hifigan mel`: recordings -> mel files that `vocode` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig
    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.types import FloatArray

_SUFFIX = ".npy"


def mel(
    recordings: Annotated[
        list[Path], typer.Argument(readable=False, help="Audio files, a folder, or - for stdin.")
    ],
    out: options.Out,
    model: Annotated[
        str | None,
        typer.Option(
            "--like",
            "--model",
            "-m",
            metavar="MODEL",
            envvar="HIFIGAN_MODEL",
            help="Compute the mel that this model reads: a file, a run's folder, or a name.",
        ),
    ] = None,
    config: options.ConfigFile = None,
    preset: options.Preset = None,
    sets: options.Sets = None,
    repair: options.Repair = False,
    shard: options.ShardOption = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the log-mel spectrograms of recordings as .npy, float32 (mels, frames).

    Channels are mixed into one. The convention is that of --like MODEL, of a preset, or of --config
    and --set.
    """
    from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
    from hifigan_cli.cli.outcome import run_reported
    from hifigan_cli.cli.pipes import PIPE, is_piped, source_of, write_stdout
    from hifigan_cli.cli.together import chosen_part, together
    from hifigan_cli.errors import UsageError
    from hifigan_cli.io.files import check_output
    from hifigan_cli.synthesis.jobs import Job, plan

    console, part = Console(json=json, quiet=quiet), chosen_part(shard)
    analysis = _Analysis(console, _convention(model, config, preset, sets), repair)
    piped = is_piped(console, recordings, out)
    if piped and not part.whole:
        raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
    if piped and out == PIPE:
        write_stdout(_npy(analysis.mel_of(source_of(recordings[0]))))
        return
    todo = None if piped else plan(recordings, out, AUDIO_SUFFIXES, _SUFFIX)
    target = todo.jobs[0].target if todo else out
    if target.suffix != _SUFFIX:
        raise UsageError(f"{target}: a mel is written as {_SUFFIX}", f"-o {target.stem}{_SUFFIX}")
    if todo:
        with together(part):
            run_reported(console, "mels", todo.share(part), analysis.write, out, force=force)
    else:
        check_output(out, force)
        analysis.write(Job(PIPE, out))


@dataclass(frozen=True)
class _Analysis:
    """What is done to each recording."""

    console: Console
    convention: MelConfig
    repair: bool

    def mel_of(self, source: Path | bytes) -> FloatArray:
        """Compute the log-mel `(mels, frames)` of a recording; say what had to be mended.

        Raises:
            InputError: not audio, damaged, or too short.
        """
        from hifigan_cli.audio.logmel import audio_to_mel
        from hifigan_cli.audio.reading import read_audio

        audio = read_audio(source, repair=self.repair)
        for note in audio.notes:
            self.console.warn(note)
        return audio_to_mel(audio, self.convention)

    def write(self, job: Job) -> None:
        """Write the log-mel of a job's source to its target, and say so.

        Raises:
            InputError: as `mel_of`.
            OutputError: the file system refused.
        """
        from hifigan_cli.cli.pipes import source_of
        from hifigan_cli.io.files import write_bytes

        array = self.mel_of(source_of(job.source))
        write_bytes(job.target, _npy(array))
        self.console.result(
            "mel",
            f"{job.target}: {array.shape[0]} mels, {array.shape[1]} frames",
            source=str(job.source),
            target=str(job.target),
            mels=array.shape[0],
            frames=array.shape[1],
        )


def _npy(array: FloatArray) -> bytes:
    """Encode an array as the bytes of a .npy file."""
    import io

    import numpy as np

    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()


def _convention(
    model: str | None, config: Path | None, preset: str | None, sets: list[str] | None
) -> MelConfig:
    import os

    from hifigan_cli.config import resolve
    from hifigan_cli.errors import UsageError
    from hifigan_cli.io.tensor_file import read_description
    from hifigan_cli.models.model_file import read_architecture
    from hifigan_cli.synthesis.model_lookup import locate_model

    if model is None:
        return resolve(preset, config, os.environ, sets or ()).config.mel
    if config or preset or sets:
        raise UsageError("--like sets the convention already", "leave --config and --set out")
    path = locate_model(model)
    return read_architecture(path, read_description(path))[0]
