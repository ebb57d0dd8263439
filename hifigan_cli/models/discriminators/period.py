"""The multi-period discriminator (paper section 2.3, figure 2b, appendix A.2).

Speech is a sum of sinusoids of many periods. Each sub-discriminator folds the waveform into rows of
p samples and convolves along the columns only, so that it sees every p-th sample. The periods are
primes, to overlap as little as possible.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.models.discriminators.output import DiscriminatorOutput, judge
from hifigan_cli.models.norms import add_weight_norm

PERIODS = (2, 3, 5, 7, 11)
_CHANNELS = (1, 32, 128, 512, 1024, 1024)
_STRIDES = (3, 3, 3, 3, 1)  # the last layer keeps its length


class PeriodDiscriminator(nn.Module):
    """Judges every `period`-th sample."""

    def __init__(self, period: int, width: float = 1.0) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(int(wide * width) for wide in _CHANNELS[1:])]
        self.convs = nn.ModuleList(
            nn.Conv2d(narrow, wide, (5, 1), (stride, 1), padding=(2, 0))
            for narrow, wide, stride in zip(channels, channels[1:], _STRIDES, strict=False)
        )
        self.conv_post = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))
        add_weight_norm(self)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Judge `(batch, 1, samples)`."""
        return judge(self.convs, self.conv_post, self.fold(samples))

    def fold(self, samples: Tensor) -> Tensor:
        """Reshape `(batch, 1, samples)` to `(batch, 1, rows, period)`; the end is reflected."""
        batch, channels, length = samples.shape
        missing = -length % self.period
        if missing:
            samples = F.pad(samples, (0, missing), mode="reflect")
        return samples.reshape(batch, channels, -1, self.period)


class MultiPeriodDiscriminator(nn.Module):
    """Five sub-discriminators, periods 2, 3, 5, 7 and 11; 41 105 770 parameters."""

    def __init__(self, width: float = 1.0) -> None:
        """Build all five; `width` scales their channels, 1 is the paper's."""
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, width) for period in PERIODS
        )

    def forward(self, samples: Tensor) -> list[DiscriminatorOutput]:
        """Judge `(batch, 1, samples)`, once a period."""
        return [judge_period(samples) for judge_period in self.discriminators]
