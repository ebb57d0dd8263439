"""`hifigan vocode`: mel files -> speech."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.blas import calm_blas
from hifigan_cli.cli.console import Console


def _scales(incomplete: str) -> list[str]:
    """Offer the shell the scales that begin with what is typed."""
    from hifigan_cli.synthesis.given import MEL_AS

    return [name for name in MEL_AS if name.startswith(incomplete)]


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
    engine: options.Engine = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="The files are (frames, mels).")
    ] = False,
    mel_as: Annotated[
        str | None,
        typer.Option(
            "--mel-as",
            metavar="SCALE",
            help="What the values are: ln, log10, log2, db, magnitude, ln-power, log10-power, "
            "db-power, power; auto recognises it. Converted to the model's.",
            show_default=False,
            autocompletion=_scales,
        ),
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Take mels whose values look like another kind.")
    ] = False,
    bare: options.Bare = False,
    chunk: options.Chunk = 0,
    shard: options.Shard = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn mel spectrograms into speech.

    A mel is an array (mels, frames) of the natural log of mel magnitudes, as `hifigan mel` writes
    it. One of another kind is refused, with what it looks like; --mel-as converts it.

    Long mels are synthesised in chunks, in flat memory, with the samples of the whole. On stdin
    frames may arrive over time, as bare float32 or as .npy blocks; samples go out as they come.
    """
    calm_blas()
    from hifigan_cli.cli.session import Session
    from hifigan_cli.cli.together import chosen_part
    from hifigan_cli.cli.work import Opened, Speech, Work
    from hifigan_cli.synthesis.given import Given, take, take_incoming
    from hifigan_cli.synthesis.incoming import IncomingMel
    from hifigan_cli.synthesis.melfiles import MEL_SUFFIXES

    session = Session(
        Console(json=json, quiet=quiet),
        model,
        options.wish(engine, precision, threads, device, gpu),
        chunk,
        chosen_part(shard),
    )

    rate_hz, hop = session.mel.rate_hz, session.mel.hop_samples

    def read(source: Path | bytes) -> Given:
        return take(source, session.mel, taken_as=mel_as, transpose=transpose, check=not no_check)

    def opened(source: Path | bytes) -> Opened:
        given = read(source)
        samples = given.array.shape[1] * hop
        return Opened(
            given.blocks(),
            lambda blocks: Speech(blocks, rate_hz, 1, lambda: samples),
            given.notes,
            given.doubts,
        )

    def say(given: Given) -> None:
        for note in given.notes:
            session.console.note(note)
        for doubt in given.doubts:
            session.console.warn(doubt)

    def incoming(stdin: IO[bytes]) -> Speech:
        mel = IncomingMel(stdin, session.mel, transpose=transpose)
        blocks = take_incoming(mel, session.mel, taken_as=mel_as, check=not no_check, on_given=say)
        samples = session.vocoder.vocode_blocks(blocks, prompt=True)
        return Speech(samples, rate_hz, 1, lambda: mel.frames and mel.frames * hop)

    work = Work(MEL_SUFFIXES, opened, lambda path: read(path).length_s, incoming=incoming)
    if dry_run:
        session.preview(mels, out, work, force=force)
    else:
        session.run(mels, out, work, force=force, bare=bare)
