"""`hifigan vocode`: mel files -> speech."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console


def vocode(
    mels: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            help="Mel files (.npy .npz .pt .safetensors), a folder, or - for stdin.",
        ),
    ],
    out: options.Out,
    model: options.Model = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="The files are (frames, mels).")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Take mels whose values look like another kind.")
    ] = False,
    chunk: options.Chunk = 0,
    shard: options.Shard = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn mel spectrograms into speech.

    A mel is an array (mels, frames) of the natural log of mel magnitudes, as `hifigan mel` writes
    it. Long mels are synthesised in chunks, in flat memory, with the samples of the whole.
    """
    from hifigan_cli.cli.session import Session, Speech
    from hifigan_cli.cli.together import chosen_part
    from hifigan_cli.synthesis import melfiles

    session = Session(
        Console(json=json, quiet=quiet),
        model,
        options.device_name(device, gpu),
        chunk,
        chosen_part(shard),
    )

    def read(source: Path | bytes) -> melfiles.Array:
        return melfiles.load_mel(
            source, session.mel.n_mels, transpose=transpose, check=not no_check
        )

    def synthesise(source: Path | bytes) -> Speech:
        blocks = session.vocoder.vocode_blocks(melfiles.blocks(read(source)))
        return Speech(blocks, session.mel.rate_hz, channels=1)

    def length_s(path: Path) -> float:
        return float(read(path).shape[1] * session.mel.hop_samples / session.mel.rate_hz)

    if dry_run:
        session.preview(mels, out, melfiles.MEL_SUFFIXES, length_s, force=force)
    else:
        session.run(mels, out, melfiles.MEL_SUFFIXES, synthesise, force=force)
