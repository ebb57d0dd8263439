"""`hifigan resynth`: recordings -> mel -> speech."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.cli import options, resynth_report
from hifigan_cli.cli.console import Console
from hifigan_cli.errors import UsageError
from hifigan_cli.runtime.threads import use_one_blas_thread

if TYPE_CHECKING:
    from hifigan_cli.enhancement.stages import EnhancementOptions


def _complete_mode(incomplete: str) -> list[str]:
    """Return the enhancement modes that start with `incomplete`, for shell completion."""
    from hifigan_cli.enhancement.stages import MODES

    return [mode for mode in MODES if mode.startswith(incomplete)]


Enhance = Annotated[
    str,
    typer.Option(
        "--enhance",
        metavar="MODE",
        help="Remove noise and reverberation: filter (DeepFilterNet3), restore (the enhancer "
        "network), both, or off; auto: the stages that are installed.",
        autocompletion=_complete_mode,
    ),
]
NoEnhance = Annotated[
    bool, typer.Option("--no-enhance", help="Keep the noise; short for --enhance off.")
]
Enhancer = Annotated[
    Path | None,
    typer.Option(
        "--enhancer",
        help="Enhancer file, or training run folder of `hifigan train-enhancer`.",
    ),
]
AttenuationLimit = Annotated[
    float | None,
    typer.Option(
        "--attenuation-limit",
        metavar="DB",
        min=0,
        help="Maximum attenuation of noise. Lower values keep more noise and reverberation.",
    ),
]


def resynth(
    recordings: Annotated[
        list[Path], typer.Argument(readable=False, help="Audio files, folder, or - for stdin.")
    ],
    out: options.Out,
    model: options.Model = None,
    device: options.Device = "auto",
    gpu: options.Gpu = None,
    engine: options.Engine = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = None,
    enhance: Enhance = "auto",
    no_enhance: NoEnhance = False,
    enhancer: Enhancer = None,
    attenuation_limit: AttenuationLimit = None,
    keep_sample_rate: Annotated[
        bool,
        typer.Option(
            "--keep-sample-rate", help="Write the input's sample rate instead of the model's."
        ),
    ] = False,
    mono: Annotated[
        bool, typer.Option("--mono", help="Mix to mono. Default: keep all channels.")
    ] = False,
    repair: options.Repair = False,
    raw: options.Raw = False,
    chunk: options.Chunk = 0,
    shard: options.ShardOption = None,
    report: resynth_report.Report = None,
    report_players: resynth_report.Players = 12,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove noise and reverberation from recordings and resynthesize them from their mels.

    Recordings may have any sample rate and any number of channels. The output has the length of
    the input. DeepFilterNet3 filters the recording, then a small enhancer network restores its
    mel. With --no-enhance, the output also contains the noise and reverberation, because a
    vocoder reproduces its input mel.
    """
    use_one_blas_thread()
    from hifigan_cli.cli.synthesis_view import run_synthesis
    from hifigan_cli.synthesis.resynthesis import Resynthesis

    synthesis_options = options.synthesis_options(
        *(model, device, gpu, engine, precision, threads),
        raw=raw,
        chunk=chunk,
        shard=shard,
        force=force,
    )
    write_report = None
    if report:
        resynth_report.check_report(report, recordings, out, synthesis_options)
        write_report = partial(resynth_report.write_report, report, report_players)
    run_synthesis(
        partial(
            Resynthesis,
            enhancement=_enhancement_options(enhance, no_enhance, enhancer, attenuation_limit),
            repair=repair,
            mono=mono,
            keep_sample_rate=keep_sample_rate,
        ),
        synthesis_options,
        recordings,
        out,
        Console(json=json, quiet=quiet),
        dry_run=dry_run,
        write_report=write_report,
    )


def _enhancement_options(
    enhance: str, no_enhance: bool, enhancer: Path | None, attenuation_limit_db: float | None
) -> EnhancementOptions:
    from hifigan_cli.enhancement.stages import AUTO, EnhancementOptions

    if no_enhance and enhance not in (AUTO, "off"):
        raise UsageError(f"--no-enhance contradicts --enhance {enhance}", "remove one of them")
    return EnhancementOptions("off" if no_enhance else enhance, enhancer, attenuation_limit_db)
