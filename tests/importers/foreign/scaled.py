"""ParallelWaveGAN, ESPnet and Transformers, which scale the mel by a corpus's mean and spread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from tests.importers.foreign.networks import SMALL, SPEECH_T5, State, folded, lists, paired


def statistics(seed: int = 5, n_mels: int = 80) -> tuple[Any, Any]:
    """Return a mean and a scale for every band, as a corpus would have."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(-4, -2, n_mels).astype(np.float32)
    return mean, rng.uniform(0.4, 0.9, n_mels).astype(np.float32)


def write_parallel_wavegan(
    folder: Path, state: State, *, bias: bool = True, kind: str = "npy", **params: Any
) -> Path:
    names = {
        "upsample_rates": "upsample_scales",
        "upsample_kernel_sizes": "upsample_kernal_sizes",  # their misspelling
        "upsample_initial_channel": "channels",
        "resblock_dilation_sizes": "resblock_dilations",
    }
    network = {
        "in_channels": 80,
        "out_channels": 1,
        "kernel_size": 7,
        **lists(SMALL, **names),
        "use_additional_convs": True,
        "bias": bias,
        "nonlinear_activation": "LeakyReLU",
        "nonlinear_activation_params": {"negative_slope": 0.1},
        "use_weight_norm": True,
        **params,
    }
    del network["resblock"]
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
    path = folder / "checkpoint-2500000steps.pkl"
    content = {"model": {"generator": paired(state), "discriminator": {}}, "steps": 9, "epochs": 1}
    torch.save(content, path)
    return path


def write_statistics(folder: Path, kind: str) -> None:
    mean, scale = statistics()
    if kind == "npy":
        np.save(folder / "stats.npy", np.stack([mean, scale]))
    elif kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "stats.h5", "w") as file:
            file["mean"], file["scale"] = mean, scale


def write_espnet(folder: Path, state: State, *, normalize: bool = True, **features: Any) -> Path:
    names = {
        "upsample_rates": "upsample_scales",
        "upsample_initial_channel": "channels",
        "resblock_dilation_sizes": "resblock_dilations",
    }
    params = {"out_channels": 1, "kernel_size": 7, **lists(SMALL, **names)}
    del params["resblock"]
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
    content = {f"tts.generator.vocoder.{key}": value for key, value in paired(state).items()}
    content["tts.generator.text2mel.encoder.weight"] = torch.zeros(3)
    if normalize:
        mean, scale = statistics()
        content["normalize.mean"] = torch.from_numpy(mean)
        content["normalize.std"] = torch.from_numpy(scale)
    path = folder / "train.total_count.ave_5best.pth"
    torch.save(content, path)
    return path


def write_transformers(
    folder: Path, state: State, *, pickled: bool = False, **changes: Any
) -> Path:
    config = {
        "architectures": ["SpeechT5HifiGan"],
        "model_type": "speecht5_hifigan",
        "model_in_dim": 80,
        "sampling_rate": 16000,
        **lists(SPEECH_T5),
        "initializer_range": 0.01,
        "leaky_relu_slope": 0.1,
        "normalize_before": True,
        **changes,
    }
    del config["resblock"]
    (folder / "config.json").write_text(json.dumps(config))
    weights = {
        key.replace("ups.", "upsampler."): torch.from_numpy(value).float()
        for key, value in folded(state).items()
    }
    mean, scale = statistics()
    weights |= {"mean": torch.from_numpy(mean), "scale": torch.from_numpy(scale)}
    path = folder / ("pytorch_model.bin" if pickled else "model.safetensors")
    if pickled:
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)
    return path
