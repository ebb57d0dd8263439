"""`hifigan resynth`: recordings -> mel -> speech."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options, resynth_report
from hifigan_cli.cli.console import Console
from hifigan_cli.cli.pipes import open_pipes
from hifigan_cli.errors import UsageError
from hifigan_cli.runtime.threads import use_one_blas_thread

if TYPE_CHECKING:
    from hifigan_cli.enhancement.stages import EnhancementOptions


def _modes(incomplete: str) -> list[str]:
    """Offer the shell the modes that begin with what is typed."""
    from hifigan_cli.enhancement.stages import MODES

    return [mode for mode in MODES if mode.startswith(incomplete)]


Enhance = Annotated[
    str | None,
    typer.Option(
        "--enhance",
        metavar="MODE",
        help="Remove noise and reverberation: filter (DeepFilterNet3), restore (the enhancer "
        "network), both in a row, or off. Default: both, as far as installed.",
        show_default=False,
        autocompletion=_modes,
    ),
]
NoEnhance = Annotated[
    bool, typer.Option("--no-enhance", help="Short for --enhance off: noise is kept.")
]
Enhancer = Annotated[
    Path | None,
    typer.Option("--enhancer", help="An enhancer of `hifigan train-enhancer`: a file or a run."),
]
Limit = Annotated[
    float | None,
    typer.Option(
        "--attenuation-limit",
        metavar="DB",
        min=0,
        help="Lower no band by more than this; keeps a little of the room.",
    ),
]


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
    enhance: Enhance = None,
    no_enhance: NoEnhance = False,
    enhancer: Enhancer = None,
    attenuation_limit: Limit = None,
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
    use_one_blas_thread()
    from hifigan_cli.cli.synthesis_view import SynthesisView
    from hifigan_cli.synthesis.resynthesis import Resynthesis

    console = Console(json=json, quiet=quiet)
    engine_options = options.engine_options(engine, precision, threads, device, gpu)
    with SynthesisView(console) as view:
        pipeline = Resynthesis(
            options.synthesis_options(model, engine_options, chunk, shard, force),
            view,
            _enhancement_options(enhance, no_enhance, enhancer, attenuation_limit),
            repair=repair,
            mono=mono,
            keep_rate=keep_rate,
        )
        if report:
            resynth_report.check_report(report, recordings, out, pipeline)
        pipes = open_pipes(console, recordings, out)
        options.check_pipe_options(pipes is not None, out, dry_run=dry_run, raw=bare)
        if pipes:
            pipeline.synthesize_pipe(*pipes, raw=bare)
        elif dry_run:
            view.show_preview(pipeline.preview(recordings, out))
        else:
            result = pipeline.synthesize_files(recordings, out)
            if report:
                resynth_report.write_report(report, pipeline, view, result, report_players)
            view.finish(result)


def _enhancement_options(
    enhance: str | None, no_enhance: bool, enhancer: Path | None, limit_db: float | None
) -> EnhancementOptions:
    from hifigan_cli.enhancement.stages import EnhancementOptions

    if no_enhance and enhance not in (None, "off"):
        raise UsageError(f"--no-enhance contradicts --enhance {enhance}", "leave one of them out")
    return EnhancementOptions("off" if no_enhance else enhance, enhancer, limit_db)
