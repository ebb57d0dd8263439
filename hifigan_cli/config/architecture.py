"""What every generator has in common, whatever its configuration, and how far it looks.

Here and not beside the network, because engines without torch need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hifigan_cli.config.schema import GeneratorConfig

SLOPE = 0.1
LAST_SLOPE = 0.01  # the framework's default, which slipped into the official code
EDGE_KERNEL = 7  # of the first and the last convolution


def context_frames(config: GeneratorConfig) -> int:
    """Compute the generator's one-sided receptive field, in mel frames.

    Follows the samples [first, last] of frame 0 from the waveform back to the mel. A convolution
    widens the interval by dilation * (kernel - 1) / 2 at each end. A transposed convolution writes
    input i to the samples rate * i - padding + [0, kernel), which is solved for i.

    >>> from hifigan_cli.config import GeneratorConfig
    >>> context_frames(GeneratorConfig())
    13
    """
    sizes = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    undilated = 1 if config.resblock == 1 else 0  # convolutions after each dilated one
    reach = max(
        (kernel - 1) // 2 * sum(d + undilated for d in dilated) for kernel, dilated in sizes
    )
    edge = EDGE_KERNEL // 2
    first, last = -edge, config.hop_length - 1 + edge
    for rate, kernel in zip(
        reversed(config.upsample_rates), reversed(config.upsample_kernel_sizes), strict=True
    ):
        padding = (kernel - rate) // 2
        first = -(-(first - reach + padding - kernel + 1) // rate)
        last = (last + reach + padding) // rate
    return max(-first, last) + edge


def least_frames(config: GeneratorConfig) -> int:
    """Count the mel frames that a generator needs: one, unless its convolutions reflect.

    A reflection needs more values than it adds; those at hand grow with every stage.

    >>> from hifigan_cli.config import GeneratorConfig, Variant
    >>> least_frames(GeneratorConfig()), least_frames(
    ...     GeneratorConfig(variant=Variant(conv_padding="reflect"))
    ... )
    (1, 4)
    """
    if config.variant.conv_padding != "reflect":
        return 1
    least, length = EDGE_KERNEL // 2 + 1, 1
    sizes = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    widest = max((kernel - 1) // 2 * max(dilations, default=1) for kernel, dilations in sizes)
    for rate in config.upsample_rates:
        length *= rate
        least = max(least, widest // length + 1)
    return least
