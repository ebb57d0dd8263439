"""Mel -> waveform, and recording -> waveform.

Read in this order:

- `chunks`: a stream of mel frames becomes a stream of samples, equal to the whole, in flat memory
- `enhancement`: noisy mel -> clean mel, block by block, in front of the vocoder
- `vocoder`: `Vocoder`, a model ready to work: `vocode` and `resynthesize`
- `melfiles`: mel files (.npy, .npz, .pt, .safetensors), axes and bands
- `given`: what the values of a mel file are, and the way from them to the model's
- `jobs`: one file, many files or a folder -> where each result goes
"""

from hifigan_cli.synthesis.vocoder import Vocoder

__all__ = ["Vocoder"]
