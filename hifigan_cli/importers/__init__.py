"""Checkpoints of other toolkits -> model files.

Read in this order:

- `importing`: a checkpoint of any family -> a model, checked by running it
- `families`: the families of checkpoints, and what each one means
- `foreign_files`: checkpoints, statistics, documents and archives of other tools, read as data
- `pretrained`: `universal-v1` and `ljspeech-v1`, the official weights, out of a registry package
"""
