"""Measurements of this program on this machine, through what a user would run.

- `synthesis`: every engine against the plain forward, in one run: speed, exactness, memory
- `cold`: complete processes, from the command to the written file
- `training`: the fast training step against the reference step: speed, and their gradients
- `contenders`: the models and engines that are measured, and the memory that one takes
- `flops`: the operations that synthesis and training need
- `machine`: the machine that measures, and its highest speed
"""
