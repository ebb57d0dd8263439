"""The engines on torch: `eager`, the paper's forward pass, and `torch`, the same for speed.

`eager` is what every other engine is compared with. In `torch` each `Conv1d` is run as a 1 x k
`Conv2d` with channels last: on CPUs torch's kernels for it are faster, on GPUs the matrix units
want that order. In float32 those are not used on GPUs, as their products have ten bits, and the
plain order stays. On CUDA a shape that comes again is replayed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hifigan_cli.engines.graphs import Graphs
from hifigan_cli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Large beside the repeated context (2 x 13), small beside the memory. The kernels of the CPU sum in
# another order for short inputs; from 512 frames on, V1 agrees with the whole within 4e-6, with 128
# only within 2.5e-5.
CPU_CHUNK_FRAMES, GPU_CHUNK_FRAMES = 512, 2048
# In 16 bits, with 13 frames of context to each side, 426 frames. On an H100 V1 took 3.1 ms for 431
# frames in one row, and 36 ms for 1723: nine milliseconds a chunk of 431 instead of three.
GPU_HALF_CHUNK_FRAMES = 400


class EagerEngine:
    """The official forward pass with folded weights, in float32, on any device of torch."""

    name = "eager"
    chunk_frames = CPU_CHUNK_FRAMES
    _wide = False

    def __init__(
        self,
        model: ModelFile,
        precision: str = "fp32",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Put a model's weights onto a device.

        Raises:
            UsageError: a precision that the engine does not have on the device.
        """
        self.precision, self._device = precision, torch.device(device)
        self._dtype = self._type_of(precision)
        if threads is not None:
            torch.set_num_threads(threads)
        self._net: nn.Module = model.build(self._device)
        self._run: Callable[[Tensor], Tensor] = self._net
        self._arrange()

    def _type_of(self, precision: str) -> torch.dtype:
        if precision != "fp32":
            raise UsageError(f"the eager engine has no {precision}", "--engine torch has it")
        return torch.float32

    def _arrange(self) -> None:
        """Leave the network as the paper has it."""

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel into samples, as `Engine` describes it.

        Raises:
            DeviceError: the device is out of memory.
        """
        with inference():
            # Rounded on the device: on the CPU torch would wake all its threads for it, which took
            # 6 ms next to a forward pass of 2 ms.
            frames = torch.from_numpy(mel).to(self._device).to(self._dtype)
            wave = self._run(frames[:, :, None] if self._wide else frames)
            # from (batch, 1, [1,] samples)
            samples: FloatArray = wave.flatten(1).float().cpu().numpy()
        return samples


class TorchEngine(EagerEngine):
    """The same, arranged for speed; `precision` is that of weights and activations."""

    name = "torch"

    def _type_of(self, precision: str) -> torch.dtype:
        kind = self._device.type
        if precision not in PRECISIONS or (precision == "fp16" and kind == "cpu"):
            raise UsageError(
                f"the torch engine has no {precision} on {kind}",
                "--precision fp32 or bf16; int16 is the native engine's, on some processors",
            )
        return PRECISIONS[precision]

    def _arrange(self) -> None:
        kind, full = self._device.type, self._dtype == torch.float32
        gpu_chunk = GPU_CHUNK_FRAMES if full else GPU_HALF_CHUNK_FRAMES
        self.chunk_frames = CPU_CHUNK_FRAMES if kind == "cpu" else gpu_chunk
        self._wide = kind == "cpu" or not full
        if self._wide:
            widen(self._net)
            self._net.to(memory_format=torch.channels_last)
        self._net.to(self._dtype)
        self._run = Graphs(self._net) if kind == "cuda" else self._net


@contextmanager
def inference() -> Iterator[None]:
    """Compute without gradients and in full float32: cuDNN's TF32 would cost three digits.

    Raises:
        DeviceError: the device is out of memory; what torch held for later has been given back.
    """
    try:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"out of memory: {reason}", "a smaller --chunk") from error


def widen(net: nn.Module) -> None:
    """Replace each 1-D convolution of `net` by a 2-D one of height 1, in place.

    The network then maps `(batch, n_mels, 1, frames)` to `(batch, 1, 1, samples)`.
    """
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            parent, _, attribute = name.rpartition(".")
            setattr(net.get_submodule(parent), attribute, _wide(module))


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
