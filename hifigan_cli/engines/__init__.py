"""Engines: several ways to run the same generator, each checked against the eager engine.

Read in this order:

- `base`: the interface of every engine: a log-mel array in, samples out
- `torch`: the `eager` engine, and the `torch` engine with optimized layers
- `cuda_graphs`: forward passes captured as CUDA graphs
- `onnx`: onnxruntime, without torch; `onnx_graph`: the generator as an ONNX graph
- `native`: compiled kernels, without torch
- `selection`: which engines this installation has, which one runs a model, and why
"""
