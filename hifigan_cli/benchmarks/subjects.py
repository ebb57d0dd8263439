"""The models that speed is measured with: trained ones, or a preset's with random weights.

How fast a model is does not depend on its weights, but how exact an engine is does: freshly
initialised networks are near silent and hide errors. So random weights keep the variance from
layer to layer, and figures say which weights they are of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hifigan_cli.config import PRESETS
from hifigan_cli.models.model_file import ModelFile, read_model
from hifigan_cli.models.shapes import generator_shapes
from hifigan_cli.synthesis.model_lookup import locate_model

if TYPE_CHECKING:
    from hifigan_cli.config import VocoderConfig

# V1 trained, so that its exactness is that of speech; its small sisters are not to be had.
DEFAULT_SUBJECTS = ("ljspeech-v1", "v2", "v3")


@dataclass(frozen=True)
class Subject:
    """A model to measure with, what it is called, and where its weights come from."""

    name: str
    weights: Literal["trained", "random"]
    model: ModelFile


def find_subject(name: str) -> Subject:
    """Return a preset with random weights, or the model that a name or path means.

    Raises:
        ModelError: nothing of that name, or it is damaged.
    """
    if name in PRESETS:
        return Subject(name, "random", random_model(PRESETS[name]))
    return Subject(name, "trained", read_model(locate_model(name)))


def random_model(config: VocoderConfig, seed: int = 0) -> ModelFile:
    """Make a model of random weights whose waveform is about as loud as speech."""
    random = np.random.default_rng(seed)
    rates = config.generator.upsample_rates
    weights = {}
    for name, shape in generator_shapes(config.generator, config.mel.n_mels).items():
        if name.endswith(".bias"):
            weights[name] = np.zeros(shape, np.float32)
            continue
        terms = shape[1] * shape[2]  # in the sum that makes an output
        if name.startswith("ups."):
            terms = shape[0] * shape[2] // rates[int(name.split(".")[1])]
        weights[name] = random.normal(0, terms**-0.5, shape).astype(np.float32)
    return ModelFile(config.mel, config.generator, weights, provenance={"name": "random weights"})
