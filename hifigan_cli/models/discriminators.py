"""The two discriminators (paper section 2.3, figure 2, appendix A.2).

MPD, the multi-period discriminator, reshapes the waveform to rows of p samples and convolves only
along the columns, so each sub-discriminator sees every p-th sample. The periods are prime numbers,
to overlap as little as possible.

MSD, the multi-scale discriminator (from MelGAN), reads the raw waveform and average-pooled ones, by
two and by four. It sees long patterns, which the disjoint samples of MPD miss. Its first
sub-discriminator has spectral norm, which the paper found to stabilize training on raw audio; all
others have weight norm.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hifigan_cli.models.norms import add_weight_norm

LRELU_SLOPE = 0.1
PERIODS = (2, 3, 5, 7, 11)
PERIOD_CHANNELS = (1, 32, 128, 512, 1024, 1024)
PERIOD_STRIDES = (3, 3, 3, 3, 1)  # the last layer keeps its length
SCALES = 3


class ScaleLayer(NamedTuple):
    """The sizes of one convolution of MSD."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int


SCALE_LAYERS = (
    ScaleLayer(1, 128, 15, 1, 1),
    ScaleLayer(128, 128, 41, 2, 4),
    ScaleLayer(128, 256, 41, 2, 16),
    ScaleLayer(256, 512, 41, 4, 16),
    ScaleLayer(512, 1024, 41, 4, 16),
    ScaleLayer(1024, 1024, 41, 1, 16),
    ScaleLayer(1024, 1024, 5, 1, 1),
)


class DiscriminatorOutput(NamedTuple):
    """The output of a sub-discriminator for a batch of waveforms.

    Attributes:
        scores: `(batch, positions)`, without activation; the target is 1 for `y`, 0 for `y_hat`.
        feature_maps: the output of every layer, including the last, which are the scores.
    """

    scores: Tensor
    feature_maps: list[Tensor]


def run_layers(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Run a stack of convolutions; a leaky ReLU follows all but the last."""
    feature_maps = []
    for conv in convs:
        x = F.leaky_relu(conv(x), LRELU_SLOPE)
        feature_maps.append(x)
    x = last(x)
    return DiscriminatorOutput(x.flatten(1), [*feature_maps, x])


class PeriodDiscriminator(nn.Module):
    """A sub-discriminator of MPD, which sees every `period`-th sample."""

    def __init__(self, period: int, width: float = 1.0) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(int(count * width) for count in PERIOD_CHANNELS[1:])]
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (5, 1), (stride, 1), padding=(2, 0))
            for inputs, outputs, stride in zip(channels, channels[1:], PERIOD_STRIDES, strict=False)
        )
        self.conv_post = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))
        add_weight_norm(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Score `(batch, 1, samples)`."""
        return run_layers(self.convs, self.conv_post, self.to_2d(samples))

    def to_2d(self, samples: Tensor) -> Tensor:
        """Reshape `(batch, 1, samples)` to `(batch, 1, rows, period)`; reflect at the end."""
        batch, channels, length = samples.shape
        padding = -length % self.period
        if padding:
            samples = F.pad(samples, (0, padding), mode="reflect")
        return samples.reshape(batch, channels, -1, self.period)


class MultiPeriodDiscriminator(nn.Module):
    """MPD: periods 2, 3, 5, 7 and 11; 41 105 770 parameters.

    `width` scales the channels; the paper's network has 1.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, width) for period in PERIODS
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Score `(batch, 1, samples)` with each period's sub-discriminator."""
        return [discriminator(samples) for discriminator in self.discriminators]


class ScaleDiscriminator(nn.Module):
    """A sub-discriminator of MSD: grouped, strided convolutions over overlapping windows."""

    def __init__(self, *, spectral: bool, width: float = 1.0) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(
                inputs if inputs == 1 else int(inputs * width),
                int(outputs * width),
                kernel,
                stride,
                padding=kernel // 2,
                groups=groups,
            )
            for inputs, outputs, kernel, stride, groups in SCALE_LAYERS
        )
        self.conv_post = nn.Conv1d(int(SCALE_LAYERS[-1].outputs * width), 1, 3, padding=1)
        if spectral:
            for conv in (*self.convs, self.conv_post):
                spectral_norm(conv)
        else:
            add_weight_norm(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Score `(batch, 1, samples)`."""
        return run_layers(self.convs, self.conv_post, samples)


class MultiScaleDiscriminator(nn.Module):
    """MSD: rates 1, 1/2 and 1/4; 29 618 821 parameters.

    `width` scales the channels; the paper's network has 1.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(spectral=scale == 0, width=width) for scale in range(SCALES)
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Score `(batch, 1, samples)` with each scale's sub-discriminator."""
        outputs = []
        for scale, discriminator in enumerate(self.discriminators):
            samples = downsample(samples) if scale else samples
            outputs.append(discriminator(samples))
        return outputs


def downsample(samples: Tensor) -> Tensor:
    """Average-pool `(batch, 1, samples)` to half the rate: window 4, both ends padded by 2."""
    return F.avg_pool1d(samples, kernel_size=4, stride=2, padding=2)
