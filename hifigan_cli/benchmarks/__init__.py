"""Benchmarks of this program on this machine, through the code that a user runs.

- `synthesis`: every engine against the eager one: speed, accuracy and memory
- `cold_start`: complete processes, from the command to the written file
- `training`: the optimized training step against the reference step: speed and gradients
- `variants`: the models and engines to measure, and the memory of one engine
- `flops`: the number of operations in synthesis and training
- `machine`: the description of this machine and its peak speed
"""
