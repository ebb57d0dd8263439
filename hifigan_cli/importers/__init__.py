"""Checkpoints of other toolkits -> model files.

- `loading`: files of other tools, read as data by way of a child process
- `families`: the families of checkpoints, and what each one means
- `importing`: a checkpoint of any family -> a model, checked by running it
- `pretrained`: `universal-v1` and `ljspeech-v1`, the official weights, out of a registry package
"""
