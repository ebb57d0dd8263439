"""Names and shapes of an architecture's weights, and the check of a state against them.

Engines without torch need this too. A test compares it with the states of the torch networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hifigan_cli.config.architecture import EDGE_KERNEL
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hifigan_cli.config import GeneratorConfig

Shape = tuple[int, ...]


class HasShape(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """The size of each dimension."""


def generator_shapes(config: GeneratorConfig, n_mels: int) -> dict[str, Shape]:
    """Return the names and shapes of a generator's folded weights, with the official names.

    They are in the order of the forward pass, each bias after its weight.
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


def check_same_shapes(expected: Mapping[str, HasShape], state: Mapping[str, HasShape]) -> None:
    """Compare the names and shapes of two states, as `check_shapes` does."""
    check_shapes({key: tuple(value.shape) for key, value in expected.items()}, state)


def check_shapes(expected: Mapping[str, Shape], state: Mapping[str, HasShape]) -> None:
    """Compare the names and shapes of a state with the expected ones.

    Raises:
        ModelError: a key is missing, unknown or has another shape; the message names the first.
    """
    for key in sorted(expected.keys() | state.keys()):
        if key not in state:
            raise ModelError(f"the file does not have the weight {key} of the architecture")
        if key not in expected:
            raise ModelError(f"the file has the weight {key}, but the architecture does not")
        shape = tuple(state[key].shape)
        if expected[key] != shape:
            raise ModelError(
                f"weight {key}: the architecture needs the shape {expected[key]}, "
                f"but the file has {shape}"
            )
