"""Which weights an architecture has, by name and shape, and whether a state has them.

Engines that do without torch must know it too; a test holds it equal to the networks' own states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hifigan_cli.config.architecture import EDGE_KERNEL
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hifigan_cli.config import GeneratorConfig

Shape = tuple[int, ...]


class Shaped(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Its sizes."""


def generator_shapes(config: GeneratorConfig, n_mels: int) -> dict[str, Shape]:
    """Return the folded weights of a generator, under the official names.

    They come in the order of the forward pass, each bias after its weight.
    """
    channels = config.upsample_initial_channel
    shapes: dict[str, Shape] = {}

    def add(name: str, *weight: int, bias: int) -> None:
        shapes[f"{name}.weight"] = weight
        shapes[f"{name}.bias"] = (bias,)

    add("conv_pre", channels, n_mels, EDGE_KERNEL, bias=channels)
    groups = ("convs1", "convs2") if config.resblock == 1 else ("convs",)
    sizes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
    for stage, kernel in enumerate(config.upsample_kernel_sizes):
        channels //= 2
        add(f"ups.{stage}", 2 * channels, channels, kernel, bias=channels)
        for number, (size, dilations) in enumerate(sizes, stage * len(sizes)):
            for index in range(len(dilations)):
                for group in groups:
                    name = f"resblocks.{number}.{group}.{index}"
                    add(name, channels, channels, size, bias=channels)
    add("conv_post", 1, channels, EDGE_KERNEL, bias=1)
    return shapes


def check_fit(expected: Mapping[str, Shaped], found: Mapping[str, Shaped]) -> None:
    """Compare the names and shapes of two states, as `check_shapes` does."""
    check_shapes({key: tuple(value.shape) for key, value in expected.items()}, found)


def check_shapes(expected: Mapping[str, Shape], found: Mapping[str, Shaped]) -> None:
    """Compare a state with the names and shapes that it should have.

    Raises:
        ModelError: names the first key that is missing, unknown, or of another shape.
    """
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            raise ModelError(f"the architecture needs the weight {key}, the file lacks it")
        if key not in expected:
            raise ModelError(f"the file has the weight {key}, the architecture does not")
        shape = tuple(found[key].shape)
        if expected[key] != shape:
            raise ModelError(
                f"weight {key}: the architecture needs the shape {expected[key]}, "
                f"the file has {shape}"
            )
