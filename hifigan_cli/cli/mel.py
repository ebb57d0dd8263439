"""`hifigan mel`: recordings -> mel files that `vocode` reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console
from hifigan_cli.cli.pipes import open_pipes
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig


def mel(
    recordings: Annotated[
        list[Path], typer.Argument(readable=False, help="Audio files, folder, or - for stdin.")
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
            help="Use the mel convention of this model: file, training run folder, or name.",
        ),
    ] = None,
    config: options.ConfigFile = None,
    preset: options.Preset = None,
    overrides: options.Overrides = None,
    repair: options.Repair = False,
    shard: options.ShardOption = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute log-mel spectrograms of recordings as .npy files, float32 (n_mels, frames).

    The channels are mixed to mono. The mel convention comes from --like MODEL, or from --preset,
    --config and --set.
    """
    from hifigan_cli.cli.synthesis_view import SynthesisView
    from hifigan_cli.runtime.sharding import resolve_shard
    from hifigan_cli.synthesis.mel_extraction import MelExtraction

    console = Console(json=json, quiet=quiet)
    with SynthesisView(console, "mels") as view:
        extraction = MelExtraction(
            _mel_config(model, config, preset, overrides),
            view,
            repair=repair,
            shard=resolve_shard(shard, os.environ),
            force=force,
        )
        if pipes := open_pipes(console, recordings, out):
            extraction.run_pipe(*pipes)
        else:
            result = extraction.run_files(recordings, out)
            view.finish(result)
            if result.error:
                raise result.error


def _mel_config(
    model: str | None, config: Path | None, preset: str | None, overrides: list[str] | None
) -> MelConfig:
    from hifigan_cli.config import resolve
    from hifigan_cli.importers.model_lookup import locate_model
    from hifigan_cli.io.tensor_file import read_description
    from hifigan_cli.models.model_file import read_architecture

    if model is None:
        return resolve(preset, config, os.environ, overrides or ()).config.mel
    if config or preset or overrides:
        raise UsageError(
            "--like cannot be combined with --config, --preset or --set", "remove one of them"
        )
    path = locate_model(model)
    return read_architecture(path, read_description(path))[0]
