"""What has to be computed, in synthesis and in training, and what the device could at most."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from hifigan_cli.models.shapes import generator_shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.training.state import VocoderState

_SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices that the peak is measured with
_FIRST_SIDE, _LONGEST_S = 256, 0.25  # a CPU without bfloat16 would take a minute for 2048
_CONVOLUTION = 256, 7, 8192  # channels, kernel and length of that beside it
_BACKWARD = 2  # a backward pass computes two products where the forward pass computes one
# Forward passes' worth of one discriminator on one batch. The reference step judges real and
# generated samples in both turns, each with a whole backward pass. The fast step leaves out, in the
# generator's turn, the backward pass of the real samples and the gradients of the weights.
_REFERENCE_PASSES = 4 * (1 + _BACKWARD)
_FAST_PASSES = 2 * (1 + _BACKWARD) + 1 + 2


def step_flop(state: VocoderState, batch: int) -> tuple[float, float]:
    """Count the floating-point operations of a reference step and of a fast one.

    A multiplication and an addition are two. Convolutions alone count; the rest is below 1 %.
    """
    config = state.config
    samples = torch.zeros(batch, 1, config.train.segment_samples, device=state.device)
    frames = config.train.segment_samples // config.mel.hop_samples
    mel = torch.zeros(batch, config.mel.n_mels, frames, device=state.device)
    # In evaluation mode no power iteration of the spectral norm is made.
    judges = (state.mpd.eval(), state.msd.eval())
    with torch.no_grad():
        generator = _flop(lambda: state.generator(mel))
        discriminators = _flop(lambda: [judge(samples) for judge in judges])
    for judge in judges:
        judge.train()
    of_generator = (1 + _BACKWARD) * generator
    return (
        of_generator + _REFERENCE_PASSES * discriminators,
        of_generator + _FAST_PASSES * discriminators,
    )


def synthesis_flop(config: GeneratorConfig, n_mels: int, frames: int) -> float:
    """Count the floating-point operations of a plain forward pass, from the sizes alone.

    Every weight is used once for each sample that its layer makes, transposed convolutions' for
    each that it reads; a multiplication and an addition are two.
    """
    lengths = {"conv_pre": frames}  # that a layer's weights are used for
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


def _flop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


class Peak:
    """The highest speed at which the device was seen to compute, of one number format.

    Two things are tried: a product of square matrices, and on the CPU a convolution that is one.
    They come from different libraries there, and on AMD's processors the one for matrices leaves
    half of the vector unit unused. On CUDA `tf32` allows float32 products to be rounded to TF32, as
    torch does by default in convolutions.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, *, tf32: bool = False) -> None:
        side = _side(device, dtype)
        matrix = torch.randn(side, side, device=device).to(dtype)
        self._tasks: list[tuple[Callable[[], object], float]] = [
            (lambda: matrix @ matrix, 2.0 * side**3)
        ]
        if device.type == "cpu":
            channels, kernel, length = _CONVOLUTION
            wide = torch.channels_last
            signal = torch.randn(1, channels, 1, length).to(dtype, memory_format=wide)
            weight = torch.randn(channels, channels, 1, kernel).to(dtype, memory_format=wide)
            flop = 2.0 * channels**2 * kernel * (length - kernel + 1)
            self._tasks.append((lambda: torch.conv2d(signal, weight), flop))
        self._device = device
        self._tf32 = tf32 and device.type == "cuda"
        self.flop_per_s = 0.0

    @torch.no_grad()
    def measure(self) -> None:
        """Compute once more; the best of all is the peak."""
        matmul = torch.backends.cuda.matmul
        before = matmul.fp32_precision
        if self._tf32:
            matmul.fp32_precision = "tf32"
        try:
            for task, flop in self._tasks:
                synchronise(self._device)
                started = time.perf_counter()
                task()
                synchronise(self._device)
                self.flop_per_s = max(self.flop_per_s, flop / (time.perf_counter() - started))
        finally:
            if self._tf32:
                matmul.fp32_precision = before


@torch.no_grad()
def _side(device: torch.device, dtype: torch.dtype) -> int:
    """Return the size of matrices whose product does not take long on this device."""
    side, largest = _FIRST_SIDE, _SIDE.get(device.type, _SIDE["cpu"])
    while side < largest:
        matrix = torch.randn(side, side, device=device).to(dtype)
        torch.mm(matrix, matrix)  # the first one may load the library
        synchronise(device)
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        synchronise(device)
        if 8 * (time.perf_counter() - started) > _LONGEST_S:  # twice the side, eight times the work
            break
        side *= 2
    return side


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
