"""Files that every other room opens, locks, reads and replaces.

- `files`: opening what is safe to open, replacing files atomically
- `locks`: one writer to a folder
- `tensor_file`: named tensors and a description in one safetensors file, checked by a digest
- `untrusted`: pickles of other tools, read as data by a process with limits
"""
