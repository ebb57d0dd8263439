"""The multi-scale discriminator (paper section 2.3, figure 2a; from MelGAN).

Three sub-discriminators read the waveform raw, averaged by two, and averaged by four: long patterns
that the disjoint samples of MPD miss. The first has spectral norm, which the paper found to steady
training on raw audio; the others weight norm.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hifigan_cli.models.discriminators.output import DiscriminatorOutput, judge
from hifigan_cli.models.norms import add_weight_norm

SCALES = 3


class _Layer(NamedTuple):
    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int

    def scaled(self, width: float) -> _Layer:
        """Return the layer with a part of its channels; groups stay."""
        inputs = 1 if self.inputs == 1 else int(self.inputs * width)
        return self._replace(inputs=inputs, outputs=int(self.outputs * width))


_LAYERS = (
    _Layer(1, 128, 15, 1, 1),
    _Layer(128, 128, 41, 2, 4),
    _Layer(128, 256, 41, 2, 16),
    _Layer(256, 512, 41, 4, 16),
    _Layer(512, 1024, 41, 4, 16),
    _Layer(1024, 1024, 41, 1, 16),
    _Layer(1024, 1024, 5, 1, 1),
)


class ScaleDiscriminator(nn.Module):
    """Judges overlapping windows of the samples with grouped, strided convolutions."""

    def __init__(self, *, spectral: bool, width: float = 1.0) -> None:
        super().__init__()
        layers = [layer.scaled(width) for layer in _LAYERS]
        self.convs = nn.ModuleList(
            nn.Conv1d(
                layer.inputs,
                layer.outputs,
                layer.kernel,
                layer.stride,
                padding=layer.kernel // 2,
                groups=layer.groups,
            )
            for layer in layers
        )
        self.conv_post = nn.Conv1d(layers[-1].outputs, 1, 3, padding=1)
        if spectral:
            for conv in (*self.convs, self.conv_post):
                spectral_norm(conv)
        else:
            add_weight_norm(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Judge `(batch, 1, samples)`."""
        return judge(self.convs, self.conv_post, samples)


class MultiScaleDiscriminator(nn.Module):
    """Three sub-discriminators at rates 1, 1/2 and 1/4; 29 618 821 parameters."""

    def __init__(self, width: float = 1.0) -> None:
        """Build all three; `width` scales their channels, 1 is the paper's."""
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(spectral=scale == 0, width=width) for scale in range(SCALES)
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Judge `(batch, 1, samples)`, once a scale."""
        judgements = []
        for scale, discriminator in enumerate(self.discriminators):
            if scale:
                samples = halve(samples)
            judgements.append(discriminator(samples))
        return judgements


def halve(samples: Tensor) -> Tensor:
    """Average-pool `(batch, 1, samples)` to half the rate, window 4, the ends padded by 2."""
    return F.avg_pool1d(samples, kernel_size=4, stride=2, padding=2)
