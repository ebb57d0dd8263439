"""The options of an enhancer training run, and an estimate before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.enhancement.augmentation.sounds import sound_files
from hifigan_cli.enhancement.network import Enhancer
from hifigan_cli.models.generator import count_parameters

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.enhancement.augmentation.pairs_file import PairSources


@dataclass(frozen=True)
class EnhancerTrainOptions:
    """The options of an enhancer training run.

    Attributes:
        sources: speech, noises, room impulse responses, mel convention and recipe.
        out: the folder of the run; an unfinished run there is continued.
        device: the device to train on.
        workers: how many processes render pairs.
        fresh: move an existing run aside, except for its pairs, and start over.
    """

    sources: PairSources
    out: Path
    device: torch.device
    workers: int
    fresh: bool = False


@dataclass(frozen=True)
class EnhancerEstimate:
    """The size of an enhancer training run."""

    run: Path
    steps: int
    parameters: int
    clips: int
    noises: int
    rirs: int
    pairs: int  # number of pairs to render
    pair_bytes: int


def estimate_enhancer(options: EnhancerTrainOptions) -> EnhancerEstimate:
    """Estimate an enhancer training run, without writing anything.

    Raises:
        InputError: the speech or the sounds cannot be read.
        UsageError: the sample rate of the speech differs from that of the mel.
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
