"""What surrounds the steps while they run.

- `distributed`: several processes under torchrun, and the moments at which they must agree
- `signals`: Ctrl-C and SIGTERM, the first and the second
- `guard`: numbers that are not finite, caught before they do harm
- `meter`: mean losses and speed, without waiting for the device
"""
