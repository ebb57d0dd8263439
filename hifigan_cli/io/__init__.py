"""Safe file access: regular files, atomic replacement, locks, untrusted files.

- `files`: open regular files, replace files atomically
- `locks`: allow one writer per folder
- `tensor_file`: named tensors and metadata in one safetensors file, verified by a digest
- `untrusted`: read pickles of other tools as tensors and plain values, in a subprocess
- `untrusted_child`: that subprocess: weights-only unpickling within limits of memory and time
"""
