"""Files: opened, locked, read and replaced with care.

- `files`: opening what is safe to open, replacing files atomically
- `locks`: one writer to a folder
- `tensor_file`: named tensors and a description in one safetensors file, checked by a digest
- `untrusted`: pickles of other tools -> tensors and plain values, by way of another process
- `untrusted_child`: that process: weights-only unpickling within limits of memory and time
"""
