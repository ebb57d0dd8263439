"""`hifigan resynth`: recordings -> mel -> speech."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console


def resynth(
    recordings: Annotated[
        list[Path], typer.Argument(readable=False, help="Audio files, a folder, or - for stdin.")
    ],
    out: options.Out,
    model: options.Model = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    keep_rate: Annotated[
        bool, typer.Option("--keep-rate", help="Write the input's rate, not the model's.")
    ] = False,
    mono: Annotated[
        bool, typer.Option("--mono", help="Mix the channels into one; else each is kept.")
    ] = False,
    repair: options.Repair = False,
    chunk: options.Chunk = 0,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Analyse recordings into mels and synthesise them anew.

    Any rate and any number of channels; the result has the input's length. A vocoder is faithful:
    noise and reverberation in the input are reproduced in the output.
    """
    from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
    from hifigan_cli.audio.reading import audio_length_s, read_audio
    from hifigan_cli.cli.session import Session, Speech

    console = Console(json=json, quiet=quiet)
    session = Session(console, model, options.device_name(device, gpu), chunk)

    def synthesise(source: Path | bytes) -> Speech:
        audio = read_audio(source, repair=repair)
        for note in audio.notes:
            console.warn(note)
        if mono:
            audio = audio.mono()
        blocks = session.vocoder.resynthesize_blocks(audio, keep_rate=keep_rate)
        rate_hz = audio.rate_hz if keep_rate else session.mel.rate_hz
        return Speech(blocks, rate_hz, audio.channels)

    if dry_run:
        session.preview(recordings, out, AUDIO_SUFFIXES, audio_length_s, force=force)
    else:
        session.run(recordings, out, AUDIO_SUFFIXES, synthesise, force=force)
