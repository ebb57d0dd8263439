"""Pickles and other files that nobody vouches for, read as data: nothing in them runs.

Read in this order:

- `reader`: such a file -> tensors and plain values, by way of another process
- `child`: that process: weights-only unpickling within limits of memory and time
- `plain`: from tensors and plain values to two files that cannot run code, and back
"""
