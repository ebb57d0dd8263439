"""The two discriminators (paper section 2.3). Both return the same kind of judgement.

- `judgement`: what a sub-discriminator says of a waveform: logits and feature maps
- `period`: MPD, which folds the waveform at five prime periods
- `scale`: MSD, which reads it at three rates
"""

from hifigan_cli.models.discriminators.judgement import Judgement
from hifigan_cli.models.discriminators.period import MultiPeriodDiscriminator
from hifigan_cli.models.discriminators.scale import MultiScaleDiscriminator

__all__ = ["Judgement", "MultiPeriodDiscriminator", "MultiScaleDiscriminator"]
