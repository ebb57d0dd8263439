"""The two discriminators (paper section 2.3, figure 2, appendix A.2).

MPD, the multi-period discriminator, folds the waveform into rows of p samples and convolves along
the columns only, so that each sub-discriminator sees every p-th sample. The periods are primes, to
overlap as little as possible.

MSD, the multi-scale discriminator (from MelGAN), reads the waveform raw, averaged by two, and
averaged by four: long patterns that the disjoint samples of MPD miss. Its first sub-discriminator
has spectral norm, which the paper found to steady training on raw audio; all others weight norm.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hifigan_cli.models.norms import add_weight_norm

SLOPE = 0.1
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
    """What a sub-discriminator returns for a batch of waveforms.

    Attributes:
        scores: `(batch, positions)`, without an activation; the target is 1 for `y`, 0 for `y_hat`.
        feature_maps: the output of every layer; that of the last, the scores', included.
    """

    scores: Tensor
    feature_maps: list[Tensor]


def discriminate(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Run a stack of convolutions; a leaky ReLU follows each but the last."""
    feature_maps = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        feature_maps.append(x)
    x = last(x)
    return DiscriminatorOutput(x.flatten(1), [*feature_maps, x])


class PeriodDiscriminator(nn.Module):
    """A sub-discriminator of MPD: it sees every `period`-th sample."""

    def __init__(self, period: int, width: float = 1.0) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(int(wide * width) for wide in PERIOD_CHANNELS[1:])]
        self.convs = nn.ModuleList(
            nn.Conv2d(narrow, wide, (5, 1), (stride, 1), padding=(2, 0))
            for narrow, wide, stride in zip(channels, channels[1:], PERIOD_STRIDES, strict=False)
        )
        self.conv_post = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))
        add_weight_norm(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Discriminate `(batch, 1, samples)`."""
        return discriminate(self.convs, self.conv_post, self.fold(samples))

    def fold(self, samples: Tensor) -> Tensor:
        """Reshape `(batch, 1, samples)` to `(batch, 1, rows, period)`; the end is reflected."""
        batch, channels, length = samples.shape
        missing = -length % self.period
        if missing:
            samples = F.pad(samples, (0, missing), mode="reflect")
        return samples.reshape(batch, channels, -1, self.period)


class MultiPeriodDiscriminator(nn.Module):
    """MPD: periods 2, 3, 5, 7 and 11; 41 105 770 parameters.

    `width` scales the channels; 1 is the paper's.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, width) for period in PERIODS
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Discriminate `(batch, 1, samples)`, once a period."""
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
        """Discriminate `(batch, 1, samples)`."""
        return discriminate(self.convs, self.conv_post, samples)


class MultiScaleDiscriminator(nn.Module):
    """MSD: rates 1, 1/2 and 1/4; 29 618 821 parameters.

    `width` scales the channels; 1 is the paper's.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(spectral=scale == 0, width=width) for scale in range(SCALES)
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Discriminate `(batch, 1, samples)`, once a scale."""
        outputs = []
        for scale, discriminator in enumerate(self.discriminators):
            samples = halve(samples) if scale else samples
            outputs.append(discriminator(samples))
        return outputs


def halve(samples: Tensor) -> Tensor:
    """Average-pool `(batch, 1, samples)` to half the rate, window 4, the ends padded by 2."""
    return F.avg_pool1d(samples, kernel_size=4, stride=2, padding=2)
