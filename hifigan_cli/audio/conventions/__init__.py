"""Detect which convention a mel follows: files do not state it, but the values reveal most of them.

Text-to-speech tools exchange mels as natural logarithms, log10, decibels, bare magnitudes, or
normalized in one of several ways. A vocoder that mistakes one for another generates noise.

Read in this order:

- `scales`: the scales by name, and the conversion from each to a model's scale
- `mel_statistics`: statistics of a mel, in constant memory
- `detection`: the rules from statistics to a scale, and the tools (with sample rate and hop) that
  are likely to have computed the mel
"""

from hifigan_cli.audio.conventions.detection import DetectedScale, detect_scale
from hifigan_cli.audio.conventions.mel_statistics import MelStatistics, measure_mel
from hifigan_cli.audio.conventions.scales import SCALES, MelScale

__all__ = ["SCALES", "DetectedScale", "MelScale", "MelStatistics", "detect_scale", "measure_mel"]
