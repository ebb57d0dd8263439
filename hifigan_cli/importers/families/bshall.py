"""bshall/hifigan: 16 kHz, hop 160, 128 mels; no configuration, since all of it is in their code.

A bare state, or `{'generator': {'model': state}}` of a training. Five copies of the first and of
the last frame are put around the mel at inference.
"""

from __future__ import annotations

import torch

from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.settings import vocoder
from hifigan_cli.importers.weights import rename, tensors

NAME = "bshall"
_MELS, _FIRST_KERNEL = 128, 20  # by which a bare state is told
_MEL = {"sample_rate": 16_000, "hop_length": 160, "n_mels": _MELS}  # the rest is the paper's
_GENERATOR = {"upsample_rates": (10, 4, 2, 2), "upsample_kernel_sizes": (20, 8, 4, 4)}


def recognizes(content: Content) -> bool:
    """Tell a state within `generator` and `model`, or the sizes of a bare one."""
    generator = content.get("generator")
    if isinstance(generator, dict) and isinstance(generator.get("model"), dict):
        return True
    return _size(content, "conv_pre", 1) == _MELS and _size(content, "ups.0", 2) == _FIRST_KERNEL


def convert(source: ForeignCheckpoint) -> Imported:
    """Read a generator; its number of channels is that of its weights."""
    generator = source.content.get("generator")
    state = tensors(generator["model"] if isinstance(generator, dict) else source.content)
    channels = {"upsample_initial_channel": _size(state, "conv_pre", 0) or 512}
    convention, variant = {"magnitude_epsilon": 0.0}, {"inference_padding": 5}
    described = vocoder(source.path, _MEL, {**_GENERATOR, **channels}, convention, variant)
    return Imported(described, rename(state))


def _size(state: Content, layer: str, dimension: int) -> int | None:
    """Return a size of a layer's kernel, weight-normed or not."""
    for prefix in ("", "module."):
        for end in ("weight", "weight_v", "parametrizations.weight.original1"):
            value = state.get(f"{prefix}{layer}.{end}")
            if isinstance(value, torch.Tensor) and value.ndim == 3:
                return int(value.shape[dimension])
    return None
