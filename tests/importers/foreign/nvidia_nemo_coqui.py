"""NVIDIA, NeMo and Coqui TTS, whose files contain the complete training setup."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.importers.foreign.networks import (
    COQUI,
    SMALL,
    StateDict,
    architecture,
    nest_blocks,
    save,
)


def write_nvidia(folder: Path, state: StateDict, **changes: Any) -> Path:
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
        for key, value in nest_blocks(state, 2).items()
    }
    content = {
        "generator": nested,
        "gen_ema": None,
        "config": {**architecture(SMALL), "resblock": "1"},
        "train_setup": setup,
        "train_state": {"epoch": 10, "iters_all": 1000},
        **changes,
    }
    return save(folder / "hifigan_gen_checkpoint_10.pt", content)


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


def write_nemo(folder: Path, state: StateDict, mode: Any = "w", **mel: Any) -> Path:
    target = "nemo.collections.tts.modules.hifigan_modules.Generator"
    generator = {"_target_": target, **architecture(SMALL)}
    config = {"preprocessor": {**NEMO_MEL, **mel}, "generator": generator, "max_steps": 10}
    weights = {f"generator.{key}": value for key, value in nest_blocks(state, 2).items()}
    weights["mpd.discriminators.0.convs.0.bias"] = torch.zeros(32)
    weights["audio_to_melspec_precessor.window"] = torch.zeros(1024)
    memory = io.BytesIO()
    torch.save(weights, memory)
    members = {
        "./model_config.yaml": yaml.safe_dump(config).encode(),
        "./model_weights.ckpt": memory.getvalue(),
    }
    return archive(folder / "model.nemo", members, mode)


def archive(path: Path, members: dict[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
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
    folder: Path, state: StateDict, *, prefixed: bool = True, within: bool = False, **audio: Any
) -> Path:
    config = {
        "model": "hifigan",
        "generator_model": "hifigan_generator",
        "generator_model_params": {**architecture(SMALL, **COQUI), "resblock_type": "1"},
        "audio": {**COQUI_AUDIO, **audio},
    }
    prefix = "model_g." if prefixed else ""
    weights = {prefix + key: value for key, value in state.items()}
    if prefixed:
        weights["model_d.msd.discriminators.0.bias"] = torch.zeros(3)
    content: dict[str, Any] = {"model": weights, "step": 3, "date": "2021"}
    if within:
        content["config"] = config
    else:
        text = "// written by hand\n" + json.dumps(config, indent=1)
        (folder / "config.json").write_text(text)
    return save(folder / "model_file.pth", content)
