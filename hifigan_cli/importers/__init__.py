"""Import checkpoints of other toolkits, and find a model by its name.

Read in this order:

- `importing`: converts a checkpoint of any family and checks the result by running it
- `checkpoint`: the interface of a checkpoint family: its input and its output
- `families`: the families, one file each
- `settings`, `weights`: map configurations and weights by name; unknown names are errors
- `foreign_files`: read checkpoints, statistics, documents and archives of other tools safely
- `pretrained`: `universal-v1` and `ljspeech-v1`, the official weights, from a registry package
- `model_lookup`: resolves a model name: a file, a training run or a pretrained model
"""
