"""bshall/hifigan: 16 kHz, hop 160, 128 mels, all fixed in its code; it has no configuration file.

A checkpoint is a bare state dict, or `{'generator': {'model': state}}` from training. At inference
the mel is padded with five copies of its first and of its last frame.
"""

from __future__ import annotations

import torch

from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.settings import build_config
from hifigan_cli.importers.weights import rename_weights, select_tensors

NAME = "bshall"
_N_MELS, _FIRST_UPSAMPLE_KERNEL = 128, 20  # identify a bare state dict
_MEL = {"sample_rate": 16_000, "hop_length": 160, "n_mels": _N_MELS}  # the rest is as in the paper
_GENERATOR = {"upsample_rates": (10, 4, 2, 2), "upsample_kernel_sizes": (20, 8, 4, 4)}


def recognizes(content: Content) -> bool:
    """Return whether this is a training checkpoint, or a state dict with bshall's layer sizes."""
    generator = content.get("generator")
    if isinstance(generator, dict) and isinstance(generator.get("model"), dict):
        return True
    has_mels = _weight_size(content, "conv_pre", 1) == _N_MELS
    return has_mels and _weight_size(content, "ups.0", 2) == _FIRST_UPSAMPLE_KERNEL


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read a generator; the number of channels comes from its weights."""
    generator = source.content.get("generator")
    state = select_tensors(generator["model"] if isinstance(generator, dict) else source.content)
    channels = {"upsample_initial_channel": _weight_size(state, "conv_pre", 0) or 512}
    convention, variant = {"magnitude_epsilon": 0.0}, {"inference_padding": 5}
    config = build_config(source.path, _MEL, {**_GENERATOR, **channels}, convention, variant)
    return ImportedGenerator(config, rename_weights(state))


def _weight_size(state: Content, layer: str, dimension: int) -> int | None:
    """Return one dimension of a layer's weight, with or without weight norm."""
    for prefix in ("", "module."):
        for suffix in ("weight", "weight_v", "parametrizations.weight.original1"):
            value = state.get(f"{prefix}{layer}.{suffix}")
            if isinstance(value, torch.Tensor) and value.ndim == 3:
                return int(value.shape[dimension])
    return None
