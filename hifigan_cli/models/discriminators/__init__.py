"""The two discriminators (paper section 2.3). Both return the same kind of output.

- `output`: what a sub-discriminator returns: logits and feature maps
- `period`: MPD, which folds the waveform at five prime periods
- `scale`: MSD, which reads it at three rates
"""

from hifigan_cli.models.discriminators.output import DiscriminatorOutput
from hifigan_cli.models.discriminators.period import MultiPeriodDiscriminator
from hifigan_cli.models.discriminators.scale import MultiScaleDiscriminator

__all__ = ["DiscriminatorOutput", "MultiPeriodDiscriminator", "MultiScaleDiscriminator"]
