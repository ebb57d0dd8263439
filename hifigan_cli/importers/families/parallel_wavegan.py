"""ParallelWaveGAN: layers in pairs with their activations, and a log10 mel with statistics.

The files are a checkpoint `{'model': {'generator': state}}`, config.yml, and stats.h5 or stats.npy.
The imported model takes the mel before normalization, and the vocoder normalizes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import (
    Content,
    ForeignCheckpoint,
    ImportedGenerator,
    StateDict,
)
from hifigan_cli.importers.settings import (
    build_config,
    get_section,
    map_fields,
    mel_fields,
    require_values,
)
from hifigan_cli.importers.weights import (
    add_zero_biases,
    has_layer,
    input_normalization,
    rename_weights,
    select_tensors,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "ParallelWaveGAN"
_GENERATOR = {
    "upsample_rates": "upsample_scales",
    "upsample_kernel_sizes": "upsample_kernel_sizes",
    "upsample_initial_channel": "channels",
    "resblock_kernel_sizes": "resblock_kernel_sizes",
    "resblock_dilation_sizes": "resblock_dilations",
}
_OTHER_SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "use_additional_convs", "bias"),
    *("nonlinear_activation", "nonlinear_activation_params"),
    *("use_causal_conv", "use_weight_norm", "global_channels"),
)
_MEL_FIELDS = mel_fields("sampling_rate fft_size hop_size - num_mels fmin fmax")
MEL_CONVENTION = {"center": True, "magnitude_epsilon": 0.0, "log": "log10", "floor": 1e-10}
_EDGE_KERNEL_SIZE = 7
_KERNEL_KEYS = ("weight", "parametrizations.weight.original1")  # parameters with a kernel axis


def recognizes(content: Content) -> bool:
    """Return whether `model.generator`, or the content itself, has ParallelWaveGAN's names."""
    model = content.get("model")
    return has_layer(model.get("generator") if isinstance(model, dict) else content, "input_conv.")


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read a generator, its config.yml and its statistics."""
    content, path = source.read_config("config.yml", "config.yaml")
    require_values(content, path, generator_type="HiFiGANGenerator", window="hann")
    if "sampling_rate_for_feats" in content:
        raise ModelError(f"{path}: sampling_rate_for_feats is not supported")
    mel = map_fields(content, _MEL_FIELDS, path)
    mel["win_length"] = content.get("win_length") or mel["n_fft"]
    mel["fmin"] = mel["fmin"] or 0.0
    model = source.content.get("model")
    state = select_tensors(model["generator"] if isinstance(model, dict) else source.content)
    mean, scale = state.pop("mean", None), state.pop("scale", None)
    if mean is None:
        mean, scale = _read_statistics(source)
    network, state = read_network(get_section(content, "generator_params", where=path), state, path)
    variant = {"slope": network.pop("slope"), **input_normalization(mean, scale, source.path)}
    note = "pass the mel before normalization; the vocoder normalizes it itself"
    config = build_config(path, mel, network, MEL_CONVENTION, variant)
    return ImportedGenerator(config, state, (note,))


def read_network(
    content: Mapping[str, Any], state: StateDict, where: object
) -> tuple[dict[str, Any], StateDict]:
    """Return the architecture, with its `slope`, and the weights under the official names.

    Raises:
        ModelError: if a model file cannot describe a setting.
    """
    # The first configurations misspelled "kernel" in this key.
    params = {key.replace("_kernal_", "_kernel_"): value for key, value in content.items()}
    network = map_fields(params, _GENERATOR, where, _OTHER_SETTINGS)
    require_values(params, where, out_channels=1, use_causal_conv=False, global_channels=-1)
    network["resblock"] = 1 if params.get("use_additional_convs", True) else 2
    # Without additional convolutions, a block has only `convs1`, which is `convs` in ResBlock2.
    convs = r"convs\2" if network["resblock"] == 1 else "convs"
    rules = (
        (r"input_conv", "conv_pre"),
        (r"upsamples\.(\d+)\.1", r"ups.\1"),
        (r"blocks\.(\d+)\.convs([12])\.(\d+)\.1", rf"resblocks.\1.{convs}.\3"),
        (r"output_conv\.1", "conv_post"),
    )
    renamed = rename_weights(state, rules)
    require_values(params, where, nonlinear_activation="LeakyReLU")
    activation = params.get("nonlinear_activation_params") or {"negative_slope": 0.1}
    network["slope"] = float(activation.get("negative_slope", 0.01))
    kernel_size = params.get("kernel_size", _EDGE_KERNEL_SIZE)
    renamed = _pad_odd_stages(network, _widen_edge_kernels(renamed, kernel_size, where))
    return network, renamed if params.get("bias", True) else add_zero_biases(renamed)


def _widen_edge_kernels(state: StateDict, size: int, where: object) -> StateDict:
    """Pad the kernels of the first and last convolution with zeros to size 7."""
    if size > _EDGE_KERNEL_SIZE or size % 2 == 0:
        raise ModelError(
            f"{where}: kernel_size is {size}, but must be odd and at most {_EDGE_KERNEL_SIZE}"
        )
    padding = (_EDGE_KERNEL_SIZE - size) // 2
    return _pad_kernels(state, ("conv_pre", "conv_post"), padding, padding)


def _pad_odd_stages(network: dict[str, Any], state: StateDict) -> StateDict:
    """Append a zero to the kernels of odd upsampling rates.

    ParallelWaveGAN pads odd rates by (rate + 1) / 2 and adds one sample at the end. A kernel that
    is longer by one has the same effect.
    """
    rates, kernels = network["upsample_rates"], list(network["upsample_kernel_sizes"])
    for stage, (rate, kernel) in enumerate(zip(rates, kernels, strict=False)):
        if rate % 2 and kernel == 2 * rate:
            kernels[stage] += 1
            state = _pad_kernels(state, (f"ups.{stage}",), 0, 1)
    network["upsample_kernel_sizes"] = kernels
    return state


def _pad_kernels(state: StateDict, layers: tuple[str, ...], left: int, right: int) -> StateDict:
    """Pad the kernels of layers with zeros, which does not change their norms."""
    names = {f"{layer}.{key}" for layer in layers for key in _KERNEL_KEYS}
    return {
        key: functional.pad(value, (left, right)) if key in names else value
        for key, value in state.items()
    }


def _read_statistics(source: ForeignCheckpoint) -> tuple[torch.Tensor, torch.Tensor]:
    """Read mean and scale: by name from `stats.h5`, or as two rows from `stats.npy`."""
    stats, path = source.read_statistics("stats.h5", "stats.npy")
    if isinstance(stats, dict) and {"mean", "scale"} <= stats.keys():
        return stats["mean"], stats["scale"]
    if isinstance(stats, torch.Tensor) and stats.ndim >= 2 and len(stats) == 2:
        return stats[0], stats[1]
    raise ModelError(f"{path} has no mean and scale")
