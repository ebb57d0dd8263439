"""How `resynth` removes noise and reverberation: the options, and the stages they choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from hifigan_cli.cli.console import Console
    from hifigan_cli.enhancement.stages import Enhancement, EnhancementOptions
    from hifigan_cli.synthesis import Vocoder


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


def enhancement_options(
    enhance: str | None, no_enhance: bool, enhancer: Path | None, limit_db: float | None
) -> EnhancementOptions:
    """Return what the options ask for.

    Raises:
        UsageError: an unknown mode, or options that contradict each other.
    """
    from hifigan_cli.enhancement.stages import EnhancementOptions

    if no_enhance and enhance not in (None, "off"):
        raise UsageError(f"--no-enhance contradicts --enhance {enhance}", "leave one of them out")
    return EnhancementOptions("off" if no_enhance else enhance, enhancer, limit_db)


def enhancement_for(vocoder: Vocoder, options: EnhancementOptions, console: Console) -> Enhancement:
    """Load what the options ask for in front of a vocoder, and report it.

    Raises:
        UsageError: the filter was asked for and is not installed.
        ModelError: the filter or the enhancer is damaged, or does not fit where it was asked for.
    """
    from hifigan_cli.api import load_enhancement

    enhancement = load_enhancement(
        options.mode,
        mel=vocoder.model.mel,
        enhancer=options.enhancer,
        limit_db=options.limit_db,
        device=vocoder.device,
    )
    for note in enhancement.notes:
        console.warn(note)
    console.note(f"enhancement: {enhancement.title}")
    return enhancement
