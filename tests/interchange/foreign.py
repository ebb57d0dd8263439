"""Checkpoints as each family writes them, of one small network with random weights.

Names, nesting and configurations follow the code of the projects. `test_packages` compares with
that code itself, where it is installed.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.models import Generator
from tests.interchange.test_official import old_names

State = dict[str, torch.Tensor]

SMALL = GeneratorConfig(
    upsample_initial_channel=32,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3, 5), (1, 3, 5)),
)
SMALL_2 = GeneratorConfig(
    resblock=2,
    upsample_initial_channel=32,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 2), (2, 6)),
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


def write_nvidia(folder: Path, state: State, **changes: Any) -> Path:
    path = folder / "hifigan_gen_checkpoint_10.pt"
    setup = {
        "segment_size": 8192,
        "filter_length": 1024,
        "num_mels": 80,
        "hop_length": 256,
        "win_length": 1024,
        "sampling_rate": 22050,
        "mel_fmin": 0.0,
        "mel_fmax": 8000.0,
        "mel_fmax_loss": None,
    }
    nested = {
        "module." + key: value[..., None] if value.ndim == 3 else value
        for key, value in blocks_nested(state, 2).items()
    }
    content = {
        "generator": nested,
        "gen_ema": None,
        "config": {**lists(SMALL), "resblock": "1"},
        "train_setup": setup,
        "train_state": {"epoch": 10, "iters_all": 1000},
        **changes,
    }
    torch.save(content, path)
    return path


NEMO_MEL = {
    "_target_": "nemo.collections.asr.parts.preprocessing.features.FilterbankFeatures",
    "nfilt": 80,
    "lowfreq": 0,
    "highfreq": 8000,
    "n_fft": 1024,
    "n_window_size": 1024,
    "n_window_stride": 256,
    "pad_to": 0,
    "pad_value": -11.52,
    "sample_rate": 22050,
    "window": "hann",
    "normalize": None,
    "preemph": None,
    "dither": 0.0,
    "frame_splicing": 1,
    "log": True,
    "log_zero_guard_type": "clamp",
    "log_zero_guard_value": 1e-05,
    "mag_power": 1.0,
    "use_grads": False,
    "exact_pad": True,
}


def write_nemo(folder: Path, state: State, mode: Any = "w", **mel: Any) -> Path:
    path = folder / "model.nemo"
    generator = {
        "_target_": "nemo.collections.tts.modules.hifigan_modules.Generator",
        **lists(SMALL),
    }
    config = {"preprocessor": {**NEMO_MEL, **mel}, "generator": generator, "max_steps": 10}
    weights = {f"generator.{key}": value for key, value in blocks_nested(state, 2).items()}
    weights["mpd.discriminators.0.convs.0.bias"] = torch.zeros(32)
    weights["audio_to_melspec_precessor.window"] = torch.zeros(1024)
    memory = io.BytesIO()
    torch.save(weights, memory)
    members = {
        "./model_config.yaml": yaml.safe_dump(config).encode(),
        "./model_weights.ckpt": memory.getvalue(),
    }
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


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


COQUI_AUDIO: dict[str, Any] = {
    "fft_size": 1024,
    "win_length": 1024,
    "hop_length": 256,
    "frame_shift_ms": None,
    "frame_length_ms": None,
    "stft_pad_mode": "reflect",
    "sample_rate": 22050,
    "preemphasis": 0.0,
    "ref_level_db": 20,
    "log_func": "np.log10",
    "num_mels": 80,
    "mel_fmin": 50.0,
    "mel_fmax": 7600.0,
    "spec_gain": 20,
    "do_amp_to_db_mel": True,
    "signal_norm": True,
    "min_level_db": -100,
    "symmetric_norm": True,
    "max_norm": 4.0,
    "clip_norm": True,
    "stats_path": None,
}


def write_coqui(
    folder: Path, state: State, *, wrapped: bool = True, within: bool = False, **audio: Any
) -> Path:
    names = {"upsample_rates": "upsample_factors", "resblock": "resblock_type"}
    config = {
        "model": "hifigan",
        "generator_model": "hifigan_generator",
        "generator_model_params": {**lists(SMALL, **names), "resblock_type": "1"},
        "audio": {**COQUI_AUDIO, **audio},
    }
    prefix = "model_g." if wrapped else ""
    weights = {prefix + key: value for key, value in state.items()}
    if wrapped:
        weights["model_d.msd.discriminators.0.bias"] = torch.zeros(3)
    content: dict[str, Any] = {"model": weights, "step": 3, "date": "2021"}
    if within:
        content["config"] = config
    else:
        text = "// written by hand\n" + json.dumps(config, indent=1)
        (folder / "config.json").write_text(text)
    path = folder / "model_file.pth"
    torch.save(content, path)
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


@dataclass(frozen=True)
class Case:
    """A family's file: how it is written, and what comes before the official network."""

    family: str
    write: Callable[..., Path]
    config: GeneratorConfig = SMALL
    n_mels: int = 80
    options: dict[str, Any] = field(default_factory=dict)
    reflect: bool = False
    normalised: bool = False
    padding: int = 0


CASES = {
    "nvidia": Case("NVIDIA DeepLearningExamples", write_nvidia),
    "nemo": Case("NeMo", write_nemo),
    "nemo gzipped": Case("NeMo", write_nemo, options={"mode": "w:gz"}),
    "speechbrain": Case("SpeechBrain", write_speechbrain, reflect=True, padding=5),
    "parallel_wavegan": Case("ParallelWaveGAN", write_parallel_wavegan, normalised=True),
    "parallel_wavegan hdf5": Case(
        "ParallelWaveGAN", write_parallel_wavegan, options={"kind": "h5"}, normalised=True
    ),
    "espnet": Case("ESPnet", write_espnet, normalised=True),
    "espnet plain": Case("ESPnet", write_espnet, options={"normalize": False}),
    "transformers": Case("Transformers", write_transformers, SPEECH_T5, normalised=True),
    "transformers pickled": Case(
        "Transformers", write_transformers, SPEECH_T5, options={"pickled": True}, normalised=True
    ),
    "transformers plain": Case(
        "Transformers", write_transformers, SPEECH_T5, options={"normalize_before": False}
    ),
    "coqui": Case("Coqui TTS", write_coqui, padding=5),
    "coqui old": Case(
        "Coqui TTS", write_coqui, options={"wrapped": False, "within": True}, padding=5
    ),
    "bshall": Case("bshall", write_bshall, BSHALL, 128, padding=5),
    "bshall training": Case("bshall", write_bshall, BSHALL, 128, {"training": True}, padding=5),
    "everyvoice": Case("EveryVoice", write_everyvoice),
}
