"""`hifigan vocode`: mel files -> speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.blas import calm_blas
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from hifigan_cli.cli.session import Session
    from hifigan_cli.cli.work import Opened, Speech
    from hifigan_cli.synthesis.input_mel import InputMel


def _scales(incomplete: str) -> list[str]:
    """Offer the shell the scales that begin with what is typed."""
    from hifigan_cli.synthesis.input_mel import MEL_AS

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
    shard: options.ShardOption = None,
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
    from hifigan_cli.cli.work import Work
    from hifigan_cli.synthesis.mel_files import MEL_SUFFIXES

    session = Session(
        Console(json=json, quiet=quiet),
        model,
        options.wish(engine, precision, threads, device, gpu),
        chunk,
        chosen_part(shard),
    )
    source = _MelSource(session, mel_as, transpose, check=not no_check)
    work = Work(MEL_SUFFIXES, source.opened, source.length_s, incoming=source.incoming)
    if dry_run:
        session.preview(mels, out, work, force=force)
    else:
        session.run(mels, out, work, force=force, bare=bare)


@dataclass(frozen=True)
class _MelSource:
    """How mels are read: files, whole, or a stream as it comes."""

    session: Session
    mel_as: str | None
    transpose: bool
    check: bool

    def given(self, source: Path | bytes) -> InputMel:
        """Take a mel file, or its bytes.

        Raises:
            InputError: not a mel that the model reads.
        """
        from hifigan_cli.synthesis.input_mel import open_mel

        return open_mel(
            source,
            self.session.mel,
            mel_as=self.mel_as,
            transpose=self.transpose,
            check=self.check,
        )

    def length_s(self, path: Path) -> float:
        """Return the seconds of speech that a mel file makes."""
        return self.given(path).length_s

    def opened(self, source: Path | bytes) -> Opened:
        """Open a mel file, or its bytes, for synthesis."""
        from hifigan_cli.cli.work import Opened, Speech

        given, mel = self.given(source), self.session.mel
        samples = given.array.shape[1] * mel.hop_samples
        return Opened(
            given.blocks(),
            lambda blocks: Speech(blocks, mel.rate_hz, 1, lambda: samples),
            given.notes,
            given.doubts,
        )

    def incoming(self, stdin: IO[bytes]) -> Speech:
        """Make speech of frames as they arrive."""
        from hifigan_cli.cli.work import Speech
        from hifigan_cli.synthesis.input_mel import stream_mel
        from hifigan_cli.synthesis.mel_stream import MelStream

        mel = self.session.mel
        frames = MelStream(stdin, mel, transpose=self.transpose)
        blocks = stream_mel(frames, mel, mel_as=self.mel_as, check=self.check, on_open=self._say)
        samples = self.session.vocoder.vocode_blocks(blocks, prompt=True)
        hop = mel.hop_samples
        return Speech(samples, mel.rate_hz, 1, lambda: frames.frames and frames.frames * hop)

    def _say(self, given: InputMel) -> None:
        for note in given.notes:
            self.session.console.note(note)
        for doubt in given.doubts:
            self.session.console.warn(doubt)
