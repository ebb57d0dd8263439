"""Constants of every generator, and its receptive field.

They are not part of `models`, because engines without torch use them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hifigan_cli.config.schema import GeneratorConfig

LRELU_SLOPE = 0.1
FINAL_LRELU_SLOPE = 0.01  # torch's default, which the official code uses before conv_post
EDGE_KERNEL = 7  # kernel size of the first and the last convolution


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


def min_frames(config: GeneratorConfig) -> int:
    """Return the smallest number of mel frames: 1, unless the convolutions pad by reflection.

    Reflection padding needs more values than it adds, and every stage has more values.

    >>> from hifigan_cli.config import GeneratorConfig, GeneratorVariant
    >>> min_frames(GeneratorConfig()), min_frames(
    ...     GeneratorConfig(variant=GeneratorVariant(conv_padding="reflect"))
    ... )
    (1, 4)
    """
    if config.variant.conv_padding != "reflect":
        return 1
    frames, length = EDGE_KERNEL // 2 + 1, 1
    sizes = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    widest = max((kernel - 1) // 2 * max(dilations, default=1) for kernel, dilations in sizes)
    for rate in config.upsample_rates:
        length *= rate
        frames = max(frames, widest // length + 1)
    return frames
