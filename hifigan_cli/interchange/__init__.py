"""Models from elsewhere, and models by name.

- `loading`: files of other tools, read as data by way of a child process
- `families`: the families of checkpoints, and what each one means
- `importing`: a checkpoint of any family -> a model, checked by running it
- `onnxfile`: out to ONNX, with proof that the file gives the same samples
- `pretrained`: `universal-v1` and `ljspeech-v1`, the official weights, out of a registry package
- `locate`: what `--model` and `--enhancer` may be: a file, a training run, a name
- `describe`: what any file or folder is, for `hifigan info`
"""
