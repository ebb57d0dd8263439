"""Engines: several ways to run the same generator, each checked against its plain forward.

Read in this order:

- `base`: what every engine is: log-mel array in, samples out
- `torch`: the plain forward pass, and the same arranged for speed
- `graphs`: forward passes that a GPU repeats at one launch
- `onnx`: onnxruntime, without torch; `onnxgraph`: the generator as its graph
- `native`: compiled kernels, without torch
- `choose`: which of them this installation has, which runs a model, and why
"""
