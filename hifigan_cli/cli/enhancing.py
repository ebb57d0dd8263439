"""Whether and how `resynth` cleans what it reads: the options, the choice, what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from hifigan_cli.cli.console import Console
    from hifigan_cli.synthesis import Vocoder
    from hifigan_cli.synthesis.enhancement import Enhancement

Enhance = Annotated[
    bool | None,
    typer.Option(
        "--enhance/--no-enhance",
        help="Clean noise and reverberation away, or keep all that is heard. Default: clean.",
        show_default=False,
    ),
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


@dataclass(frozen=True)
class Wish:
    """What the options ask for; `enhance` is None where they say nothing."""

    enhance: bool | None
    enhancer: Path | None
    limit_db: float | None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.enhance is False and (self.enhancer or self.limit_db is not None):
            raise UsageError(
                "--no-enhance leaves nothing for --enhancer and --attenuation-limit to do",
                "leave one of them out",
            )


def enhancement_for(vocoder: Vocoder, wish: Wish, console: Console) -> Enhancement | None:
    """Return the enhancement that a wish amounts to, and say which it is.

    Raises:
        ModelError: an enhancer that was asked for is missing, damaged, or of another mel.
    """
    from hifigan_cli.interchange.locate import locate_enhancer
    from hifigan_cli.models.enhancerfile import read_enhancer
    from hifigan_cli.synthesis.enhancement import Enhancement

    if wish.enhance is False:
        console.note("enhancement off: noise is kept (--enhance cleans)")
        return None
    model = read_enhancer(locate_enhancer(wish.enhancer))
    found = Enhancement(model, vocoder.device, wish.limit_db)
    asked = wish.enhance or wish.enhancer or wish.limit_db is not None
    if not asked and model.mel != vocoder.model.mel:
        console.note("enhancement off: the enhancer reads another mel than this model")
        return None
    found.check(vocoder.model.mel)
    limit = "" if wish.limit_db is None else f", by at most {wish.limit_db:g} dB"
    console.note(f"enhancement on{limit} (--no-enhance keeps noise)")
    return found
