"""Small generators that synthesize in milliseconds, and their model files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.config import GeneratorConfig, MelConfig
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models import Generator, ModelFile, write_model
from hifigan_cli.models.norms import fold_weight_norm
from hifigan_cli.models.shapes import generator_shapes

if TYPE_CHECKING:
    from pathlib import Path

# Two stages with hop length 256, so that it takes the usual mel.
TINY = GeneratorConfig(
    upsample_rates=(16, 16),
    upsample_kernel_sizes=(32, 32),
    upsample_initial_channel=16,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
)


def tiny_generator(seed: int = 0, config: GeneratorConfig = TINY) -> Generator:
    """Return a generator with weight norm whose output is far from silence."""
    torch.manual_seed(seed)
    net = Generator(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    return net


def tiny_model(seed: int = 0, mel: MelConfig | None = None) -> ModelFile:
    """Return a model of a tiny generator, as `read_model` would."""
    state = {key: value.detach() for key, value in tiny_generator(seed).state_dict().items()}
    return ModelFile(
        mel or MelConfig(), TINY, arrays_of(fold_weight_norm(state)), provenance={"name": "tiny"}
    )


def loud_model(config: GeneratorConfig, mel: MelConfig | None = None, seed: int = 0) -> ModelFile:
    """Return a model with random folded weights whose waveform is about as loud as speech.

    A freshly initialized network is nearly silent and hides errors, so each layer here preserves
    the variance.
    """
    random, mel = np.random.default_rng(seed), mel or MelConfig()
    weights = {}
    for name, shape in generator_shapes(config, mel.n_mels).items():
        std = 0.05
        if name.endswith(".weight"):
            fan_in = shape[0] * 2 if name.startswith("ups.") else shape[1] * shape[2]
            std = 0.5 * fan_in**-0.5 if "conv_post" in name else fan_in**-0.5
        weights[name] = random.normal(0, std, shape).astype(np.float32)
    return ModelFile(mel, config, weights, provenance={"name": "loud"})


def write_tiny_model(path: Path, seed: int = 0) -> Path:
    """Write a tiny model file; return its path."""
    write_model(path, tiny_model(seed))
    return path
