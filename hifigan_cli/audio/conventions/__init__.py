"""Which convention a mel follows: files do not say, their values give most of them away.

Text-to-speech tools hand mels about as natural logarithms, log10, decibels, bare magnitudes, or
normalised in one of several ways. A vocoder that takes one for another makes noise.

Read in this order:

- `scales`: the scales by name, and the way from each to a model's own
- `evidence`: what is measured of a mel, in flat memory
- `recognition`: the rules, from evidence to a verdict
- `families`: which tools have such mels, and so the likely rate and hop
"""

from hifigan_cli.audio.conventions.evidence import Evidence, gather
from hifigan_cli.audio.conventions.recognition import Verdict, recognise
from hifigan_cli.audio.conventions.scales import SCALES, Scale

__all__ = ["SCALES", "Evidence", "Scale", "Verdict", "gather", "recognise"]
