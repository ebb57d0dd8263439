"""The engine on torch: the plain forward pass, arranged for speed.

Each `Conv1d` is run as a 1 x k `Conv2d` with channels last: on CPUs torch's kernels for it are
faster, on GPUs the matrix units want that order. In float32 those are not used on GPUs, as their
products have ten bits, and the plain order stays. On CUDA a shape that comes again is replayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from hifigan_cli.engines.graphs import Graphs
from hifigan_cli.engines.torch_eager import exact, memory_errors, use_threads
from hifigan_cli.errors import UsageError
from hifigan_cli.models.model_file import build_generator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.types import FloatArray

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CPU_CHUNK_FRAMES, GPU_CHUNK_FRAMES = 512, 2048
# In 16 bits, with 13 frames of context to each side, 426 frames. On an H100 V1 took 3.1 ms for 431
# frames in one row, and 36 ms for 1723: nine milliseconds a chunk of 431 instead of three.
GPU_HALF_CHUNK_FRAMES = 400
Net = TypeVar("Net", bound=nn.Module)


class TorchEngine:
    """A generator in torch, on any of its devices.

    Attributes:
        precision: of weights and activations.
    """

    name = "torch"

    def __init__(
        self,
        config: GeneratorConfig,
        n_mels: int,
        weights: Mapping[str, FloatArray],
        precision: str = "fp32",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Put folded weights, under their official names, onto a device.

        Raises:
            UsageError: a precision that the device does not have.
        """
        self._device = torch.device(device)
        on_cpu = self._device.type == "cpu"
        if precision not in PRECISIONS or (precision == "fp16" and on_cpu):
            raise UsageError(
                f"the torch engine has no {precision} on {self._device.type}",
                "--precision fp32 or bf16; int16 is the native engine's, on some processors",
            )
        use_threads(threads)
        self.precision, self._dtype = precision, PRECISIONS[precision]
        gpu_chunk = GPU_CHUNK_FRAMES if precision == "fp32" else GPU_HALF_CHUNK_FRAMES
        self.chunk_frames = CPU_CHUNK_FRAMES if on_cpu else gpu_chunk
        self._wide = on_cpu or precision != "fp32"
        net: nn.Module = build_generator(config, n_mels, weights)
        if self._wide:
            net = widened(net).to(memory_format=torch.channels_last)
        self._net = net.to(self._device, self._dtype)
        self._run = Graphs(self._net) if self._device.type == "cuda" else self._net

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, mels, frames)` into samples `(batch, frames * hop)`.

        Raises:
            DeviceError: the device is out of memory.
        """
        with exact(), memory_errors():
            # Rounded on the device: on the CPU torch would wake all its threads for it, which took
            # 6 ms next to a forward pass of 2 ms.
            frames = torch.from_numpy(mel).to(self._device).to(self._dtype)
            wave: Tensor = self._run(frames[:, :, None] if self._wide else frames)
            samples: FloatArray = (
                wave.flatten(1).float().cpu().numpy()
            )  # of (batch, 1, [1,] samples)
        return samples


def widened(net: Net) -> Net:
    """Replace each 1-D convolution of `net` by a 2-D one of height 1, in place.

    The network then maps `(batch, mels, 1, frames)` to `(batch, 1, 1, samples)`.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            parent = net.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], _wide(module))
    return net


def _wide(narrow: nn.Conv1d | nn.ConvTranspose1d) -> nn.Conv2d | nn.ConvTranspose2d:
    kind = nn.Conv2d if isinstance(narrow, nn.Conv1d) else nn.ConvTranspose2d
    with torch.device("meta"):
        wide = kind(
            narrow.in_channels,
            narrow.out_channels,
            (1, narrow.kernel_size[0]),
            stride=(1, narrow.stride[0]),
            padding=(0, int(narrow.padding[0])),
            dilation=(1, narrow.dilation[0]),
            padding_mode=narrow.padding_mode,
        )
    wide.weight = nn.Parameter(narrow.weight.detach()[:, :, None], requires_grad=False)
    wide.bias = narrow.bias
    return wide
