"""Data augmentation: clean speech -> noisy and clean pairs, for training the enhancer.

Read in this order:

- `sounds`: folders of noises and room impulse responses, some held out; segments of clean speech
- `effects`: rooms, noise, band limits, clipping, codecs
- `pair_renderer`: one pair of waveforms, a function of seed and number
- `pairs_file`: all pairs of a run as log-mels, rendered once by several processes
"""
