"""SpeechBrain, bshall, EveryVoice, ParallelWaveGAN, ESPnet and Transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from tests.importers.foreign.networks import (
    ESPNET,
    SMALL,
    SPEECH_T5,
    StateDict,
    architecture,
    folded,
    parallel_wavegan_names,
    save,
    speechbrain_names,
)

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


def write_speechbrain(folder: Path, state: StateDict, **changes: str) -> Path:
    text = SPEECHBRAIN
    for old, new in changes.items():
        text = text.replace(f"{old}:", f"{old}: {new} #")
    (folder / "hyperparams.yaml").write_text(text)
    return save(folder / "generator.ckpt", speechbrain_names(state))


def write_bshall(folder: Path, state: StateDict, *, training: bool = False) -> Path:
    weights = {f"module.{key}": value for key, value in state.items()}
    generator = {"model": weights, "optimizer": {"state": {}}, "scheduler": {}}
    content = {"generator": generator, "step": 3} if training else weights
    return save(folder / "hifigan-67926ec6.pt", content)


def write_everyvoice(folder: Path, state: StateDict, **changes: Any) -> Path:
    model = {
        **architecture(SMALL),
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
    norm = ".parametrizations.weight.original"
    names = {key: key.replace(".weight_g", f"{norm}0") for key in state}
    names = {key: name.replace(".weight_v", f"{norm}1") for key, name in names.items()}
    content = {
        "state_dict": {f"generator.{names[key]}": value for key, value in state.items()},
        "hyper_parameters": {"config": config},
        "pytorch-lightning_version": "2.4.0",
        "model_info": {"name": "HiFiGANGenerator", "version": "1.0"},
        "epoch": 3,
        "global_step": 10,
    }
    return save(folder / "last.ckpt", content)


def statistics(seed: int = 5, n_mels: int = 80) -> tuple[Any, Any]:
    """Return a mean and a scale for every mel band, like those of a corpus."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(-4, -2, n_mels).astype(np.float32)
    return mean, rng.uniform(0.4, 0.9, n_mels).astype(np.float32)


def write_parallel_wavegan(
    folder: Path, state: StateDict, *, bias: bool = True, kind: str = "npy", **params: Any
) -> Path:
    names = {**ESPNET, "upsample_kernel_sizes": "upsample_kernal_sizes"}  # their misspelling
    network = {
        "in_channels": 80,
        "out_channels": 1,
        "kernel_size": 7,
        **architecture(SMALL, "resblock", **names),
        "use_additional_convs": True,
        "bias": bias,
        "nonlinear_activation": "LeakyReLU",
        "nonlinear_activation_params": {"negative_slope": 0.1},
        "use_weight_norm": True,
        **params,
    }
    config = {
        "sampling_rate": 22050,
        "fft_size": 1024,
        "hop_size": int(np.prod(network["upsample_scales"])),
        "win_length": None,
        "window": "hann",
        "num_mels": 80,
        "fmin": 80,
        "fmax": 7600,
        "format": "hdf5",
        "generator_type": "HiFiGANGenerator",
        "generator_params": network,
        "version": "0.5.4",
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    write_statistics(folder, kind)
    content = {
        "model": {"generator": parallel_wavegan_names(state), "discriminator": {}},
        "steps": 9,
        "epochs": 1,
    }
    return save(folder / "checkpoint-2500000steps.pkl", content)


def write_statistics(folder: Path, kind: str) -> None:
    mean, scale = statistics()
    if kind == "npy":
        np.save(folder / "stats.npy", np.stack([mean, scale]))
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "stats.h5", "w") as file:
            file["mean"], file["scale"] = mean, scale


def write_espnet(
    folder: Path, state: StateDict, *, normalize: bool = True, **features: Any
) -> Path:
    params = {"out_channels": 1, "kernel_size": 7, **architecture(SMALL, "resblock", **ESPNET)}
    config = {
        "tts": "joint_text2wav",
        "tts_conf": {"vocoder_type": "hifigan_generator", "vocoder_params": params},
        "feats_extract": "fbank",
        "feats_extract_conf": {
            "n_fft": 1024,
            "hop_length": 256,
            "win_length": None,
            "fs": 22050,
            "fmin": 80,
            "fmax": 7600,
            "n_mels": 80,
            **features,
        },
        "normalize": "global_mvn" if normalize else None,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    content = {
        f"tts.generator.vocoder.{key}": value
        for key, value in parallel_wavegan_names(state).items()
    }
    content["tts.generator.text2mel.encoder.weight"] = torch.zeros(3)
    if normalize:
        mean, scale = map(torch.from_numpy, statistics())
        content |= {"normalize.mean": mean, "normalize.std": scale}
    return save(folder / "train.total_count.ave_5best.pth", content)


def write_transformers(
    folder: Path, state: StateDict, *, pickled: bool = False, **changes: Any
) -> Path:
    config = {
        "architectures": ["SpeechT5HifiGan"],
        "model_type": "speecht5_hifigan",
        "model_in_dim": 80,
        "sampling_rate": 16000,
        **architecture(SPEECH_T5, "resblock"),
        "initializer_range": 0.01,
        "leaky_relu_slope": 0.1,
        "normalize_before": True,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))
    weights = {
        key.replace("ups.", "upsampler."): torch.from_numpy(value).float()
        for key, value in folded(state).items()
    }
    mean, scale = map(torch.from_numpy, statistics())
    weights |= {"mean": mean, "scale": scale}
    if pickled:
        return save(folder / "pytorch_model.bin", weights)
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    return folder / "model.safetensors"
