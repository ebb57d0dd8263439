"""`hifigan mel`: recordings -> mel files that `vocode` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.audio.pictures import Mel
    from hifigan_cli.config import MelConfig

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
    shard: options.Shard = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the log-mel spectrograms of recordings as .npy, float32 (mels, frames).

    Channels are mixed into one. The convention is that of --like MODEL, of a preset, or of --config
    and --set.
    """
    from hifigan_cli.audio.analysis import analyse
    from hifigan_cli.audio.files import check_output, write_bytes
    from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
    from hifigan_cli.audio.reading import read_audio
    from hifigan_cli.cli.outcome import run_reported
    from hifigan_cli.cli.pipes import PIPE, is_piped, source_of, write_stdout
    from hifigan_cli.cli.together import chosen_part, together
    from hifigan_cli.errors import UsageError
    from hifigan_cli.synthesis.jobs import Job, plan

    console = Console(json=json, quiet=quiet)
    convention, part = _convention(model, config, preset, sets), chosen_part(shard)

    def compute(source: Path | bytes) -> Mel:
        audio = read_audio(source, repair=repair)
        for note in audio.notes:
            console.warn(note)
        return analyse(audio, convention)

    def work(job: Job) -> None:
        array = compute(source_of(job.source))
        write_bytes(job.target, _npy(array))
        console.result(
            "mel",
            f"{job.target}: {array.shape[0]} mels, {array.shape[1]} frames",
            source=str(job.source),
            target=str(job.target),
            mels=array.shape[0],
            frames=array.shape[1],
        )

    piped = is_piped(console, recordings, out)
    if piped and not part.whole:
        raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
    if piped and out == PIPE:
        write_stdout(_npy(compute(source_of(recordings[0]))))
        return
    todo = None if piped else plan(recordings, out, AUDIO_SUFFIXES, _SUFFIX)
    target = todo.jobs[0].target if todo else out
    if target.suffix != _SUFFIX:
        raise UsageError(f"{target}: a mel is written as {_SUFFIX}", f"-o {target.stem}{_SUFFIX}")
    if todo:
        with together(part):
            run_reported(console, "mels", todo.share(part), work, out, force=force)
    else:
        check_output(out, force)
        work(Job(PIPE, out))


def _npy(array: Mel) -> bytes:
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
    from hifigan_cli.interchange.locate import locate_model
    from hifigan_cli.models.modelfile import read_architecture
    from hifigan_cli.models.tensorfile import read_description

    if model is None:
        return resolve(preset, config, os.environ, sets or ()).config.mel
    if config or preset or sets:
        raise UsageError("--like sets the convention already", "leave --config and --set out")
    path = locate_model(model)
    return read_architecture(path, read_description(path))[0]
