"""One small network with random weights, under the names that each family has for it."""

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

State = dict[str, torch.Tensor]

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


# Ours -> theirs, where these differ: of Coqui and SpeechBrain, of ESPnet and ParallelWaveGAN.
COQUI = {"resblock": "resblock_type", "upsample_rates": "upsample_factors"}
ESPNET = {
    "upsample_rates": "upsample_scales",
    "upsample_initial_channel": "channels",
    "resblock_dilation_sizes": "resblock_dilations",
}


def normed(config: GeneratorConfig, n_mels: int = 80, seed: int = 0) -> State:
    """Return a weight-normed generator's state, old names, whose output is far from silence."""
    torch.manual_seed(seed)
    state = Generator(config, n_mels).state_dict()
    return old_names({key: value.detach() * 1.5 for key, value in state.items()})


def folded(state: State) -> dict[str, Any]:
    """Return the plain weights of a state, g v / |v|, as float64 arrays."""
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if key.endswith(".weight_v"):
            v = value.double().numpy()
            g = state[key[:-1] + "g"].double().numpy()
            length = np.sqrt((v**2).sum(axis=(1, 2), keepdims=True))
            plain[key[:-2]] = g * v / length
        elif not key.endswith(".weight_g"):
            plain[key] = value.double().numpy()
    return plain


def blocks_nested(state: State, kernels: int) -> State:
    """Number the residual blocks by stage and kernel."""

    def nested(block: re.Match[str]) -> str:
        stage, kernel = divmod(int(block[1]), kernels)
        return f"resblocks.{stage}.{kernel}."

    return {re.sub(r"^resblocks\.(\d+)\.", nested, key): value for key, value in state.items()}


def wrapped(state: State) -> State:
    """Put SpeechBrain's layer within a layer into every name."""
    return {".conv.".join(key.rsplit(".", 1)): value for key, value in state.items()}


PAIRED = (
    (r"^conv_pre", "input_conv"),
    (r"^ups\.(\d+)", r"upsamples.\1.1"),
    (r"^resblocks\.(\d+)\.convs\.", r"resblocks.\1.convs1."),
    (r"^resblocks\.(\d+)\.(convs.)\.(\d+)", r"blocks.\1.\2.\3.1"),
    (r"^conv_post", "output_conv.1"),
)


def paired(state: State) -> State:
    """Give every layer the name that it has beside its activation in ParallelWaveGAN."""
    for old, new in PAIRED:
        state = {re.sub(old, new, key): value for key, value in state.items()}
    return state


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def lists(config: GeneratorConfig, without: str = "", **names: str) -> dict[str, Any]:
    """Return the architecture as plain lists, under other names where these differ."""
    values = json.loads(config.model_dump_json())
    return {names.get(key, key): value for key, value in values.items() if key != without}
