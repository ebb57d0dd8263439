"""Files of other tools, read as data: whatever they hold, nothing of it runs.

Read in this order:

- `untrusted`: a pickle, statistics or HDF5 -> tensors and plain values, by way of a child process
- `child`: that process: weights-only unpickling within limits of memory and time
- `plain`: from tensors and plain values to two files that cannot run code, and back
- `archives`: members of a tar, found by name and measured before they are read
- `documents`: JSON and YAML of bounded size, by safe loaders
"""
