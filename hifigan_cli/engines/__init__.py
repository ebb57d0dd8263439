"""Engines: several ways to run the same generator, each checked against its plain forward pass.

Read in this order:

- `base`: the interface of every engine: a log-mel array in, samples out
- `torch`: the plain forward pass, and an optimized form of it
- `cuda_graphs`: forward passes captured as CUDA graphs
- `onnx`: onnxruntime, without torch; `onnx_graph`: the generator as an ONNX graph
- `native`: compiled kernels, without torch
- `selection`: which engines this installation has, which one runs a model, and why
"""
