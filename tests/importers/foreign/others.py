"""SpeechBrain, bshall and EveryVoice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.importers.foreign.networks import SMALL, State, lists, wrapped

SPEECHBRAIN = """
sample_rate: 22050
hop_length: 256
win_length: 1024
n_mel_channels: 80
n_fft: 1024
mel_fmin: 0.0
mel_fmax: 8000
mel_normalized: False
power: 1
norm: "slaney"
mel_scale: "slaney"
dynamic_range_compression: True

in_channels: 80
resblock_type: "1"
resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5]]
resblock_kernel_sizes: [3, 5]
upsample_kernel_sizes: [16, 16, 4, 4]
upsample_initial_channel: 32
upsample_factors: [8, 8, 2, 2]
padding: 5

generator: !new:speechbrain.lobes.models.HifiGAN.HifiganGenerator
    in_channels: !ref <in_channels>
    out_channels: 1
    resblock_type: !ref <resblock_type>
    resblock_dilation_sizes: !ref <resblock_dilation_sizes>
    resblock_kernel_sizes: !ref <resblock_kernel_sizes>
    upsample_kernel_sizes: !ref <upsample_kernel_sizes>
    upsample_initial_channel: !ref <upsample_initial_channel>
    upsample_factors: !ref <upsample_factors>
    inference_padding: !ref <padding>
    cond_channels: 0
    conv_post_bias: True

modules:
    generator: !ref <generator>

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        generator: !ref <generator>
"""


def write_speechbrain(folder: Path, state: State, **changes: str) -> Path:
    text = SPEECHBRAIN
    for old, new in changes.items():
        text = text.replace(f"{old}:", f"{old}: {new} #")
    (folder / "hyperparams.yaml").write_text(text)
    path = folder / "generator.ckpt"
    torch.save(wrapped(state), path)
    return path


def write_bshall(folder: Path, state: State, *, training: bool = False) -> Path:
    path = folder / "hifigan-67926ec6.pt"
    weights = {f"module.{key}": value for key, value in state.items()}
    generator = {"model": weights, "optimizer": {"state": {}}, "scheduler": {}}
    torch.save({"generator": generator, "step": 3} if training else weights, path)
    return path


def write_everyvoice(folder: Path, state: State, **changes: Any) -> Path:
    model = {
        **lists(SMALL),
        "resblock": "1",
        "activation_function": "everyvoice.utils.original_hifigan_leaky_relu",
        "istft_layer": False,
        "msd_layers": 3,
        "mpd_layers": [2, 3, 5, 7, 11],
    }
    audio = {
        "input_sampling_rate": 22050,
        "output_sampling_rate": 22050,
        "n_fft": 1024,
        "fft_window_size": 1024,
        "fft_hop_size": 256,
        "f_min": 0,
        "f_max": 8000,
        "n_mels": 80,
        "spec_type": "mel-librosa",
    }
    for part in (model, audio):
        part.update({key: value for key, value in changes.items() if key in part})
    config = {"VERSION": "1.0", "model": model, "preprocessing": {"audio": audio}}
    new = {
        key.replace(".weight_g", ".parametrizations.weight.original0").replace(
            ".weight_v", ".parametrizations.weight.original1"
        ): value
        for key, value in state.items()
    }
    content = {
        "state_dict": {f"generator.{key}": value for key, value in new.items()},
        "hyper_parameters": {"config": config},
        "pytorch-lightning_version": "2.4.0",
        "model_info": {"name": "HiFiGANGenerator", "version": "1.0"},
        "epoch": 3,
        "global_step": 10,
    }
    path = folder / "last.ckpt"
    torch.save(content, path)
    return path
