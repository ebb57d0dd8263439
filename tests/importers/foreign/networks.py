"""Small networks with random weights, and the names that each family uses for them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.models import Generator
from tests.importers.test_official import old_names

StateDict = dict[str, torch.Tensor]

SMALL = GeneratorConfig(
    upsample_initial_channel=32,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3, 5), (1, 3, 5)),
)

BSHALL = GeneratorConfig(
    upsample_rates=(10, 4, 2, 2), upsample_kernel_sizes=(20, 8, 4, 4), upsample_initial_channel=16
)

SPEECH_T5 = SMALL.model_copy(
    update={"upsample_rates": (4, 4, 4, 4), "upsample_kernel_sizes": (8, 8, 8, 8)}
)


# Our field names -> foreign ones that differ, for Coqui and SpeechBrain, and for ESPnet and
# ParallelWaveGAN.
COQUI = {"resblock": "resblock_type", "upsample_rates": "upsample_factors"}
ESPNET = {
    "upsample_rates": "upsample_scales",
    "upsample_initial_channel": "channels",
    "resblock_dilation_sizes": "resblock_dilations",
}


def weight_normed_state(config: GeneratorConfig, n_mels: int = 80, seed: int = 0) -> StateDict:
    """Return the state dict of a generator with weight norm, in torch's old names.

    Its output is far from silence.
    """
    torch.manual_seed(seed)
    state = Generator(config, n_mels).state_dict()
    return old_names({key: value.detach() * 1.5 for key, value in state.items()})


def folded(state: StateDict) -> dict[str, Any]:
    """Return the folded weights of a state dict, g v / |v|, as float64 arrays."""
    weights: dict[str, Any] = {}
    for key, value in state.items():
        if key.endswith(".weight_v"):
            v = value.double().numpy()
            g = state[key[:-1] + "g"].double().numpy()
            norm = np.sqrt((v**2).sum(axis=(1, 2), keepdims=True))
            weights[key[:-2]] = g * v / norm
        elif not key.endswith(".weight_g"):
            weights[key] = value.double().numpy()
    return weights


def nest_blocks(state: StateDict, kernels: int) -> StateDict:
    """Number the residual blocks by stage and kernel."""

    def nest(match: re.Match[str]) -> str:
        stage, kernel = divmod(int(match[1]), kernels)
        return f"resblocks.{stage}.{kernel}."

    return {re.sub(r"^resblocks\.(\d+)\.", nest, key): value for key, value in state.items()}


def speechbrain_names(state: StateDict) -> StateDict:
    """Add the `conv` of SpeechBrain's wrapped layers to every name."""
    return {".conv.".join(key.rsplit(".", 1)): value for key, value in state.items()}


PARALLEL_WAVEGAN_NAMES = (
    (r"^conv_pre", "input_conv"),
    (r"^ups\.(\d+)", r"upsamples.\1.1"),
    (r"^resblocks\.(\d+)\.convs\.", r"resblocks.\1.convs1."),
    (r"^resblocks\.(\d+)\.(convs.)\.(\d+)", r"blocks.\1.\2.\3.1"),
    (r"^conv_post", "output_conv.1"),
)


def parallel_wavegan_names(state: StateDict) -> StateDict:
    """Rename every layer as in ParallelWaveGAN, where it is paired with its activation."""
    for old, new in PARALLEL_WAVEGAN_NAMES:
        state = {re.sub(old, new, key): value for key, value in state.items()}
    return state


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def architecture(config: GeneratorConfig, omit: str = "", **names: str) -> dict[str, Any]:
    """Return the architecture as plain lists; `names` maps our field names to foreign ones."""
    values = json.loads(config.model_dump_json())
    return {names.get(key, key): value for key, value in values.items() if key != omit}
