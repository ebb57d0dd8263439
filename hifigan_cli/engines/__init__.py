"""Engines: several ways to run the same generator, each checked against its plain forward.

Read in this order:

- `base`: what every engine is: log-mel array in, samples out
- `onnx`: onnxruntime, without torch; `onnxgraph`: the generator as its graph
- `native`: compiled kernels, without torch
"""
