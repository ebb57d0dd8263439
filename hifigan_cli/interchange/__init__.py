"""Models from elsewhere, and models by name.

- `official`: the checkpoints of the official code, and of all that copied its names
- `onnxfile`: out to ONNX, with proof that the file gives the same samples
- `pretrained`: `universal-v1` and `ljspeech-v1`, the official weights, out of a registry package
- `locate`: what `--model` and `--enhancer` may be: a file, a training run, a name
- `describe`: what any file or folder is, for `hifigan info`
"""
