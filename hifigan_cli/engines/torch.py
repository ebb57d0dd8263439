"""The engines on torch: `eager`, the paper's forward pass, and `torch`, an optimized form of it.

`eager` is the reference for every other engine. `torch` runs each `Conv1d` as a 1 x k `Conv2d` with
channels last: on CPUs torch's kernels for it are faster, and on GPUs the tensor cores need that
layout. In float32 on a GPU the network stays as it is: tensor cores would round the factors to ten
bits, so they are not used. On CUDA repeated shapes run as CUDA graphs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hifigan_cli.engines.cuda_graphs import CudaGraphRunner
from hifigan_cli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Large compared with the repeated context (2 x 13 frames), small compared with the memory. For
# short inputs CPU kernels sum in another order: with chunks of 512 frames or more V1 agrees with
# the unchunked output within 4e-6, with 128 only within 2.5e-5.
CPU_CHUNK_FRAMES, GPU_CHUNK_FRAMES = 512, 2048
# In 16 bits; with 13 frames of context on each side a chunk has 426 frames. On an H100 V1 took
# 3.1 ms for one row of 431 frames, but 36 ms for 1723: 9 ms per 431 frames instead of 3.
GPU_HALF_CHUNK_FRAMES = 400


class EagerEngine:
    """The official forward pass with weight norm folded in, in float32, on any torch device."""

    name = "eager"
    chunk_frames = CPU_CHUNK_FRAMES
    _uses_conv2d = False

    def __init__(
        self,
        model: ModelFile,
        precision: str = "fp32",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Load a model's weights onto a device.

        Raises:
            UsageError: the engine does not support the precision on the device.
        """
        self.precision, self._device = precision, torch.device(device)
        self._dtype = self._resolve_dtype(precision)
        if threads is not None:
            torch.set_num_threads(threads)
        self._net: nn.Module = model.build(self._device)
        self._run: Callable[[Tensor], Tensor] = self._net
        self._optimize()

    def _resolve_dtype(self, precision: str) -> torch.dtype:
        if precision != "fp32":
            raise UsageError(f"the eager engine does not support {precision}", "use --engine torch")
        return torch.float32

    def _optimize(self) -> None:
        """Keep the network as in the paper."""

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, n_mels, frames)` into samples; see `Engine.synthesize`.

        Raises:
            DeviceError: the device is out of memory.
        """
        with inference():
            # Cast on the device: on the CPU torch would wake all its threads for it, which took
            # 6 ms for a forward pass of 2 ms.
            frames = torch.from_numpy(mel).to(self._device).to(self._dtype)
            wave = self._run(frames[:, :, None] if self._uses_conv2d else frames)
            # (batch, 1, [1,] samples) -> (batch, samples)
            samples: FloatArray = wave.flatten(1).float().cpu().numpy()
        return samples


class TorchEngine(EagerEngine):
    """The forward pass, optimized; `precision` is that of weights and activations."""

    name = "torch"

    def _resolve_dtype(self, precision: str) -> torch.dtype:
        kind = self._device.type
        if precision not in PRECISIONS or (precision == "fp16" and kind == "cpu"):
            raise UsageError(
                f"the torch engine does not support {precision} on {kind}",
                "use --precision fp32 or bf16; only --engine native has int16, on some processors",
            )
        return PRECISIONS[precision]

    def _optimize(self) -> None:
        kind, fp32 = self._device.type, self._dtype == torch.float32
        gpu_chunk = GPU_CHUNK_FRAMES if fp32 else GPU_HALF_CHUNK_FRAMES
        self.chunk_frames = CPU_CHUNK_FRAMES if kind == "cpu" else gpu_chunk
        self._uses_conv2d = kind == "cpu" or not fp32
        if self._uses_conv2d:
            use_conv2d(self._net)
            self._net.to(memory_format=torch.channels_last)
        self._net.to(self._dtype)
        self._run = CudaGraphRunner(self._net) if kind == "cuda" else self._net


@contextmanager
def inference() -> Iterator[None]:
    """Compute without gradients and in full float32: cuDNN's TF32 would lose three digits.

    Raises:
        DeviceError: the device is out of memory; torch's cache has been emptied.
    """
    try:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"out of memory: {reason}", "use a smaller --chunk") from error


def use_conv2d(net: nn.Module) -> None:
    """Replace each 1-D convolution of `net` by a 2-D convolution of height 1, in place.

    The network then maps `(batch, n_mels, 1, frames)` to `(batch, 1, 1, samples)`.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            parent, _, attribute = name.rpartition(".")
            setattr(net.get_submodule(parent), attribute, _conv2d(module))


def _conv2d(conv1d: nn.Conv1d | nn.ConvTranspose1d) -> nn.Conv2d | nn.ConvTranspose2d:
    kind = nn.Conv2d if isinstance(conv1d, nn.Conv1d) else nn.ConvTranspose2d
    with torch.device("meta"):
        conv2d = kind(
            conv1d.in_channels,
            conv1d.out_channels,
            (1, conv1d.kernel_size[0]),
            stride=(1, conv1d.stride[0]),
            padding=(0, int(conv1d.padding[0])),
            dilation=(1, conv1d.dilation[0]),
            padding_mode=conv1d.padding_mode,
        )
    conv2d.weight = nn.Parameter(conv1d.weight.detach()[:, :, None], requires_grad=False)
    conv2d.bias = conv1d.bias
    return conv2d
