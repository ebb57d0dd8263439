"""What surrounds the steps while they run.

- `guard`: numbers that are not finite, caught before they do harm
- `compiling`: torch.compile for the networks, where it works
- `cuda_graphs`: a step on a single GPU as one launch
- `meter`: mean losses and speed, without waiting for the device
"""
