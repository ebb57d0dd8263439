"""Data augmentation: clean speech -> noisy and clean pairs, for training the enhancer.

Read in this order:

- `sounds`: folders of noises and room impulse responses (some held out); clean speech segments
- `effects`: reverberation, noise, band limits, clipping, codecs
- `pair_renderer`: renders one pair of waveforms from a seed and a pair number
- `pairs_file`: renders all pairs of a run as log-mels, once, in several processes
"""
