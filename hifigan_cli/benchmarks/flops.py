"""Count the floating-point operations of synthesis and of training steps.

A multiplication and an addition count as two. Only convolutions count; the rest is below 1 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from hifigan_cli.models.shapes import generator_shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.training.state import VocoderState

_BACKWARD = 2  # a backward pass computes two products where the forward pass computes one
# Cost of the discriminators in a step, in forward passes over one batch. The reference step runs
# real and generated samples through them for both losses, each with a complete backward pass. For
# the generator's loss, the optimized step omits the backward pass of the real samples and the
# gradients of the weights.
_REFERENCE_PASSES = 4 * (1 + _BACKWARD)
_OPTIMIZED_PASSES = 2 * (1 + _BACKWARD) + 1 + 2


def synthesis_flop(config: GeneratorConfig, n_mels: int, frames: int) -> float:
    """Count the operations of a forward pass, from the sizes of the layers.

    Every weight is used once for each sample of its layer's output, or of its input in transposed
    convolutions.
    """
    lengths = {"conv_pre": frames}  # samples for which a layer uses each weight
    kernels, length = len(config.resblock_kernel_sizes), frames
    for stage, rate in enumerate(config.upsample_rates):
        lengths[f"ups.{stage}"] = length
        length *= rate
        for block in range(stage * kernels, (stage + 1) * kernels):
            lengths[f"resblocks.{block}"] = length
    lengths["conv_post"] = length
    total = 0
    for name, shape in generator_shapes(config, n_mels).items():
        if name.endswith(".weight"):
            parts = name.split(".")
            layer = parts[0] if parts[0].startswith("conv") else ".".join(parts[:2])
            total += 2 * math.prod(shape) * lengths[layer]
    return float(total)


def step_flop(state: VocoderState, batch: int) -> tuple[float, float]:
    """Count the operations of a reference step and of an optimized one."""
    config = state.config
    samples = torch.zeros(batch, 1, config.train.segment_size, device=state.device)
    frames = config.train.segment_size // config.mel.hop_length
    mel = torch.zeros(batch, config.mel.n_mels, frames, device=state.device)
    # In evaluation mode, spectral norm skips its power iteration.
    discriminators = (state.mpd.eval(), state.msd.eval())
    with torch.no_grad():
        generator = (1 + _BACKWARD) * _count_flop(lambda: state.generator(mel))
        forward = _count_flop(lambda: [network(samples) for network in discriminators])
    for network in discriminators:
        network.train()
    return generator + _REFERENCE_PASSES * forward, generator + _OPTIMIZED_PASSES * forward


def _count_flop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
