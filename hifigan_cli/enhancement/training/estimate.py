"""What a training of the enhancer asks for, and what it would do, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.enhancement.augmentation.sounds import sound_files
from hifigan_cli.enhancement.network import Enhancer
from hifigan_cli.models.generator import count_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.enhancement.augmentation.pairs_file import Sources


@dataclass(frozen=True)
class EnhancerTrainOptions:
    """What a training command asks for.

    Attributes:
        sources: speech, noises, rooms, the mel convention and the recipe.
        out: the run's folder; an unfinished run there is continued.
        device: where to train.
        workers: processes that render pairs.
        fresh: set an existing run aside, except for its pairs, and start over.
    """

    sources: Sources
    out: Path
    device: torch.device
    workers: int
    fresh: bool = False


@dataclass(frozen=True)
class EnhancerEstimate:
    """What a training of the enhancer would do."""

    run: Path
    steps: int
    parameters: int
    clips: int
    noises: int
    rirs: int
    pairs: int  # to render
    pair_bytes: int


def estimate_enhancer(options: EnhancerTrainOptions) -> EnhancerEstimate:
    """Work out what a training would do, without touching anything.

    Raises:
        InputError: the speech or the sounds cannot be read.
        UsageError: the speech is of another rate than the mel.
    """
    sources = options.sources
    training, n_mels = sources.run.training, sources.mel.n_mels
    with torch.device("meta"):  # sizes only: no memory, no random numbers
        parameters = count_parameters(Enhancer(sources.run.enhancer, n_mels))
    return EnhancerEstimate(
        run=options.out,
        steps=training.steps,
        parameters=parameters,
        clips=len(sources.open_speech().training),
        noises=len(sound_files(sources.noises)),
        rirs=len(sound_files(sources.rirs)),
        pairs=training.pairs,
        # Two mels of 16-bit numbers each.
        pair_bytes=2 * 2 * training.pairs * training.pair_frames * n_mels,
    )
