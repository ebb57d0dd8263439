"""Files of other tools, read as data: whatever they hold, nothing of it runs.

Read in this order:

- `untrusted`: a pickle, statistics or HDF5 -> tensors and plain values, by way of another process
- `archives`: members of a tar, found by name and measured before they are read
- `documents`: JSON and YAML of bounded size, by safe loaders
"""
