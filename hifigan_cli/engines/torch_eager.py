"""The plain engine: the generator as the paper has it, in torch. Every other is held against it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import DeviceError, UsageError
from hifigan_cli.models.model_file import build_generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.types import FloatArray

# Large beside the repeated context (2 x 13), small beside the memory. The kernels of the CPU sum in
# another order for short inputs; from 512 frames on, V1 agrees with the whole within 4e-6, with 128
# only within 2.5e-5.
CHUNK_FRAMES = 512


class EagerEngine:
    """The official forward pass with folded weights, in float32, on any device of torch."""

    name = "eager"
    precision = "fp32"
    chunk_frames = CHUNK_FRAMES

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
            UsageError: another precision than fp32.
        """
        if precision != self.precision:
            raise UsageError(f"the eager engine has no {precision}", "--engine torch has it")
        use_threads(threads)
        self._device = torch.device(device)
        self._generator = build_generator(config, n_mels, weights, self._device)

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, mels, frames)` into samples `(batch, frames * hop)`.

        Raises:
            DeviceError: the device is out of memory.
        """
        with exact(), memory_errors():
            wave = self._generator(torch.from_numpy(mel).to(self._device))
            samples: FloatArray = wave[:, 0].cpu().numpy()
        return samples


def use_threads(threads: int | None) -> None:
    """Let torch's kernels use so many threads; None leaves what torch has chosen."""
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def exact() -> Iterator[None]:
    """Compute without gradients and in full float32: cuDNN's TF32 would cost three digits."""
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's lack of memory into ours, and give back what it holds for later.

    Raises:
        DeviceError: the device is out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise DeviceError(
            f"out of memory: {str(error).partition(chr(10))[0]}", "a smaller --chunk"
        ) from error
