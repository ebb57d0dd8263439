"""Checkpoints of other toolkits -> model files, and where the model of a name is.

Read in this order:

- `importing`: a checkpoint of any family -> a model, checked by running it
- `checkpoint`: what a family of checkpoints is given, and what it returns
- `families`: the families, one file each
- `settings`, `weights`: configurations and states by name; nothing is lost or guessed
- `foreign_files`: checkpoints, statistics, documents and archives of other tools, read as data
- `pretrained`: `universal-v1` and `ljspeech-v1`, the official weights, out of a registry package
- `model_lookup`: what a model's name means: a file, a training run, or a pretrained name
"""
