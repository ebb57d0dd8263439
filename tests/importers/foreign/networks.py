"""One small network with random weights, under the names that each family has for it."""

from __future__ import annotations

import json
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

SPEECH_T5 = GeneratorConfig(
    upsample_rates=(4, 4, 4, 4),
    upsample_kernel_sizes=(8, 8, 8, 8),
    upsample_initial_channel=32,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3, 5), (1, 3, 5)),
)


def normed(config: GeneratorConfig, n_mels: int = 80, seed: int = 0) -> State:
    """Return a weight-normed generator's state, old names, whose output is far from silence."""
    torch.manual_seed(seed)
    net = Generator(config, n_mels)
    state = {key: value.detach() * 1.5 for key, value in net.state_dict().items()}
    return old_names(state)


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
    nested = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "resblocks":
            stage, kernel = divmod(int(parts[1]), kernels)
            parts[1] = f"{stage}.{kernel}"
        nested[".".join(parts)] = value
    return nested


def wrapped(state: State) -> State:
    """Put SpeechBrain's layer within a layer into every name."""
    return {
        f"{key.rpartition('.')[0]}.conv.{key.rpartition('.')[2]}": value
        for key, value in state.items()
    }


def paired(state: State) -> State:
    """Give every layer the name that it has beside its activation in ParallelWaveGAN."""
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "ups":
            parts = ["upsamples", parts[1], "1", *parts[2:]]
        elif parts[0] == "resblocks":
            convs = {"convs": "convs1"}.get(parts[2], parts[2])
            parts = ["blocks", parts[1], convs, parts[3], "1", *parts[4:]]
        elif parts[0] == "conv_post":
            parts = ["output_conv", "1", *parts[1:]]
        else:
            parts = ["input_conv", *parts[1:]]
        renamed[".".join(parts)] = value
    return renamed


def lists(config: GeneratorConfig, **names: str) -> dict[str, Any]:
    """Return the architecture as plain lists, under other names where these differ."""
    values = json.loads(config.model_dump_json())
    return {names.get(key, key): value for key, value in values.items()}
