"""Noise and reverberation removed from recordings, before the vocoder.

Read in this order:

- `stages`: the stages in a row: the filter on the recording, the restorer on its mel
- `noise_filter`: DeepFilterNet3 through its C library
- `restorer`: the enhancer network on mels of any length; `inference`: numpy and torch forms of it
- `levels`: short recordings keep their level
- `config`, `network`, `model_file`: the enhancer's configuration, network and file
- `augmentation`: clean speech -> noisy and clean pairs
- `training`: pairs -> a trained enhancer
"""
