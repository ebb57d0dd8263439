"""What surrounds the steps while they run.

- `distributed`: several processes under torchrun, and the moments at which they must agree
- `meeting`: how the processes find each other, also after a restart
- `signals`: Ctrl-C and SIGTERM, the first and the second
- `guard`: numbers that are not finite, caught before they do harm
- `compiling`: torch.compile for the networks, where it works
- `cuda_graphs`: a step on a single GPU as one launch
- `meter`: mean losses and speed, without waiting for the device
"""
