"""`hifigan mel`: recordings -> mel files that `vocode` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig


def mel(
    recordings: Annotated[list[Path], typer.Argument(help="Audio files, or a folder.")],
    out: options.Out,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Compute the mel that this model reads."),
    ] = None,
    config: options.ConfigFile = None,
    preset: options.Preset = None,
    sets: options.Sets = None,
    repair: options.Repair = False,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the log-mel spectrograms of recordings as .npy, float32 (mels, frames).

    Channels are mixed into one. The convention is that of the presets, of --config and --set, or
    of --model.
    """
    import numpy as np

    from hifigan_cli.audio.analysis import analyse
    from hifigan_cli.audio.containers import AUDIO_SUFFIXES
    from hifigan_cli.audio.files import replacing
    from hifigan_cli.audio.reading import read_audio
    from hifigan_cli.cli.outcome import run_reported
    from hifigan_cli.synthesis.jobs import Job, plan

    console = Console(json=json, quiet=quiet)
    convention = _convention(model, config, preset, sets)

    def work(job: Job) -> None:
        audio = read_audio(job.source, repair=repair)
        for note in audio.notes:
            console.warn(note)
        array = analyse(audio, convention)
        with replacing(job.target) as temporary, temporary.open("wb") as stream:
            np.save(stream, array)
        console.result(
            "mel",
            f"{job.target}: {array.shape[0]} mels, {array.shape[1]} frames",
            source=str(job.source),
            target=str(job.target),
            mels=array.shape[0],
            frames=array.shape[1],
        )

    todo = plan(recordings, out, AUDIO_SUFFIXES, out_suffix=".npy")
    run_reported(console, "mels", todo, work, out, force=force)


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
        raise UsageError("--model sets the convention already", "leave --config and --set out")
    path = locate_model(model)
    return read_architecture(path, read_description(path))[0]
