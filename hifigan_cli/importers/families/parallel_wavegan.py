"""ParallelWaveGAN: layers in pairs with their activations, a log10 mel, statistics beside it.

`{'model': {'generator': state}}`, config.yml and stats.h5 or stats.npy. The mel that goes into a
model file is the one before its normalisation, which the vocoder then does itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported, State
from hifigan_cli.importers.settings import fixed, mel_fields, pick, section, vocoder
from hifigan_cli.importers.weights import has_layer, rename, scaling, tensors, with_biases

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
_OTHERS = (
    *("in_channels", "out_channels", "kernel_size", "use_additional_convs", "bias"),
    *("nonlinear_activation", "nonlinear_activation_params"),
    *("use_causal_conv", "use_weight_norm", "global_channels"),
)
_MEL_FIELDS = mel_fields("sampling_rate fft_size hop_size - num_mels fmin fmax")
CONVENTION = {"center": True, "magnitude_epsilon": 0.0, "log": "log10", "floor": 1e-10}
_EDGE = 7
_TAPS = ("weight", "parametrizations.weight.original1")  # what has a kernel's length


def recognizes(content: Content) -> bool:
    """Tell a generator within `model`, or a bare one of their names."""
    model = content.get("model")
    return has_layer(model.get("generator") if isinstance(model, dict) else content, "input_conv.")


def convert(source: ForeignCheckpoint) -> Imported:
    """Read a generator, its config.yml and its statistics."""
    content, path = source.document("config.yml", "config.yaml")
    fixed(content, path, generator_type="HiFiGANGenerator", window="hann")
    if "sampling_rate_for_feats" in content:
        raise ModelError(f"{path}: a mel of another rate than the speech cannot be imported")
    mel = pick(content, _MEL_FIELDS, path)
    mel["win_length"] = content.get("win_length") or mel["n_fft"]
    mel["fmin"] = mel["fmin"] or 0.0
    model = source.content.get("model")
    state = tensors(model["generator"] if isinstance(model, dict) else source.content)
    mean, scale = state.pop("mean", None), state.pop("scale", None)
    if mean is None:
        mean, scale = _statistics(source)
    network, state = read_network(section(content, "generator_params", where=path), state, path)
    variant = {"slope": network.pop("slope"), **scaling(mean, scale, source.path)}
    note = "the mel is the one before its normalisation, which the vocoder does"
    return Imported(vocoder(path, mel, network, CONVENTION, variant), state, (note,))


def read_network(
    content: Mapping[str, Any], state: State, where: object
) -> tuple[dict[str, Any], State]:
    """Return the architecture, with its `slope`, and the weights under the official names.

    Raises:
        ModelError: settings that no model file describes.
    """
    # Their first configurations had the name misspelt.
    params = {key.replace("_kernal_", "_kernel_"): value for key, value in content.items()}
    network = pick(params, _GENERATOR, where, _OTHERS)
    fixed(params, where, out_channels=1, use_causal_conv=False, global_channels=-1)
    network["resblock"] = 1 if params.get("use_additional_convs", True) else 2
    # Without the additional ones, their first convolutions are all that a block has.
    convs = r"convs\2" if network["resblock"] == 1 else "convs"
    rules = (
        (r"input_conv", "conv_pre"),
        (r"upsamples\.(\d+)\.1", r"ups.\1"),
        (r"blocks\.(\d+)\.convs([12])\.(\d+)\.1", rf"resblocks.\1.{convs}.\3"),
        (r"output_conv\.1", "conv_post"),
    )
    renamed = rename(state, rules)
    fixed(params, where, nonlinear_activation="LeakyReLU")
    activation = params.get("nonlinear_activation_params") or {"negative_slope": 0.1}
    network["slope"] = float(activation.get("negative_slope", 0.01))
    renamed = _evened(network, _widened(renamed, params.get("kernel_size", _EDGE), where))
    return network, renamed if params.get("bias", True) else with_biases(renamed)


def _widened(state: State, kernel: int, where: object) -> State:
    """Give the first and last convolution seven taps; those that are new are zero."""
    if kernel > _EDGE or kernel % 2 == 0:
        raise ModelError(f"{where}: a kernel_size of {kernel} cannot be imported, at most {_EDGE}")
    if kernel == _EDGE:
        return state
    side = (_EDGE - kernel) // 2
    return _padded(state, ("conv_pre", "conv_post"), side, side)


def _evened(network: dict[str, Any], state: State) -> State:
    """Make the kernels of odd rates fit: one more tap, of zero.

    Their padding of (rate + 1) / 2 and one more sample at the end are what a kernel that is longer
    by one has by itself.
    """
    rates, kernels = network["upsample_rates"], list(network["upsample_kernel_sizes"])
    for stage, (rate, kernel) in enumerate(zip(rates, kernels, strict=False)):
        if rate % 2 and kernel == 2 * rate:
            kernels[stage] += 1
            state = _padded(state, (f"ups.{stage}",), 0, 1)
    network["upsample_kernel_sizes"] = kernels
    return state


def _padded(state: State, layers: tuple[str, ...], left: int, right: int) -> State:
    """Put taps of zero around the kernels of layers; norms do not notice."""
    names = {f"{layer}.{end}" for layer in layers for end in _TAPS}
    return {
        key: functional.pad(value, (left, right)) if key in names else value
        for key, value in state.items()
    }


def _statistics(source: ForeignCheckpoint) -> tuple[torch.Tensor, torch.Tensor]:
    """Read mean and scale: `stats.h5` has them by name, `stats.npy` as two rows."""
    found, path = source.statistics("stats.h5", "stats.npy")
    if isinstance(found, dict) and {"mean", "scale"} <= found.keys():
        return found["mean"], found["scale"]
    if isinstance(found, torch.Tensor) and found.ndim >= 2 and len(found) == 2:
        return found[0], found[1]
    raise ModelError(f"{path} has no mean and scale")
