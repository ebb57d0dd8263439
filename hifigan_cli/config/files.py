"""Configuration files: TOML, the official code's config.json, and names of earlier versions."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import tomli_w

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

# Keys of the official config_v1.json (jik876/hifi-gan) that are named differently here.
OFFICIAL_MEL_KEYS = {
    "sampling_rate": "sample_rate",
    "n_fft": "n_fft",
    "hop_size": "hop_length",
    "win_size": "win_length",
    "num_mels": "n_mels",
    "fmin": "fmin",
    "fmax": "fmax",
}
# Keys that describe the machine, and `num_freq`, which the official code never reads.
_OFFICIAL_IGNORED = {"num_gpus", "num_workers", "num_freq", "dist_config"}
_OFFICIAL_BETAS = {"adam_b1": 0.8, "adam_b2": 0.99}

# Keys of earlier model files, checkpoints, prepared data and TOML files.
EARLIER_NAMES = {
    "rate_hz": "sample_rate",
    "source_rate_hz": "source_sample_rate",
    "hop_samples": "hop_length",
    "win_samples": "win_length",
    "fmin_hz": "fmin",
    "fmax_hz": "fmax",
    "segment_samples": "segment_size",
    "adversarial_from": "adversarial_start",
    "spectral_weight": "stft_weight",
    "rate": "speed_range",  # of the enhancer's augmentation
    "vary_rate": "speed_range",
    "vary_level": "gain_range",
    "level_range": "max_log_gain",
    "adversarial_rate": "adversarial_learning_rate",
    "discriminator_rate": "discriminator_learning_rate",
    "licence": "license",
    "shard": "file_index",
    "shard_bytes": "max_file_bytes",
    "guard": "floor_mode",
    "sample_clips": "logged_clips",
    "accumulate": "micro_batches",
    "difference_weight": "delta_weight",
    "untouched": "clean_probability",
    "reverb": "reverb_probability",
    "noise": "noise_probability",
    "second_noise": "second_noise_probability",
    "band": "band_limit_probability",
    "codec": "codec_probability",
    "clipping": "clipping_probability",
}


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML file, or a JSON file with the official keys or ours, as nested dictionaries.

    Raises:
        UsageError: the file cannot be read, or is not valid TOML or JSON.
    """
    is_json = path.suffix.lower() == ".json"
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if is_json else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "check the path given to --config") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid {'JSON' if is_json else 'TOML'}: {error}",
            "correct the file, or start from `hifigan config new`",
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a JSON object", 'write an object: {"batch_size": 16}')
    return _from_official(content, path) if is_json else with_current_names(content)


def to_toml(config: BaseModel) -> str:
    """Write the configuration as TOML that `resolve` reads back to the same values."""
    return tomli_w.dumps(config.model_dump(mode="json"))


def with_current_names(content: Any) -> Any:
    """Rename the keys that files of earlier versions use, at every depth."""
    if isinstance(content, dict):
        return {EARLIER_NAMES.get(k, k): with_current_names(v) for k, v in content.items()}
    return [with_current_names(each) for each in content] if isinstance(content, list) else content


def _from_official(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Rename the official keys; omit those that describe the machine."""
    ours = {
        OFFICIAL_MEL_KEYS.get(key, key): value
        for key, value in content.items()
        if key not in _OFFICIAL_IGNORED | _OFFICIAL_BETAS.keys() | {"fmax_for_loss"}
    }
    if content.keys() & _OFFICIAL_BETAS.keys():
        ours["adam_betas"] = [content.get(key, value) for key, value in _OFFICIAL_BETAS.items()]
    limit = content.get("fmax_for_loss")
    if limit is not None and limit != content.get("sampling_rate", 0) / 2:
        raise UsageError(
            f"{path}: fmax_for_loss is {limit!r}, and training compares mels up to Nyquist",
            "set fmax_for_loss to null",
        )
    return ours
