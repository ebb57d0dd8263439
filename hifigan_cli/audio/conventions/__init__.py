"""Which convention a mel follows: files do not say, their values show most of them.

Text-to-speech tools exchange mels as natural logarithms, log10, decibels, bare magnitudes, or
normalized in one of several ways. A vocoder that takes one for another makes noise.

Read in this order:

- `scales`: the scales by name, and the conversion from each to a model's own
- `evidence`: what is measured of a mel, in flat memory
- `recognition`: the rules, from evidence to a scale; the likely tools, and so rate and hop
"""

from hifigan_cli.audio.conventions.evidence import Evidence, measure
from hifigan_cli.audio.conventions.recognition import Recognition, recognize
from hifigan_cli.audio.conventions.scales import SCALES, MelScale

__all__ = ["SCALES", "Evidence", "MelScale", "Recognition", "measure", "recognize"]
