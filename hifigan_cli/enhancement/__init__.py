"""Speech enhancement before the vocoder: remove noise and reverberation from recordings.

Read in this order:

- `stages`: the two stages: the noise filter on the waveform, then the enhancer on the log-mel
- `noise_filter`: DeepFilterNet3 through its C library
- `mel_enhancer`: runs the enhancer network on mels of any length; `inference`: in numpy or torch
- `levels`: preserves the level of short recordings
- `config`, `network`, `model_file`: the enhancer's configuration, network and model file
- `augmentation`: clean speech -> noisy and clean pairs
- `training`: pairs -> a trained enhancer
"""
