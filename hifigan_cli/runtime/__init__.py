"""The runtime environment: devices, threads, processes, signals.

- `lazy`: load names of a package when they are first used
- `environment`: check this installation
- `devices`: select the device of the networks; `threads`: count the CPU threads
- `background`: run generators and functions in threads, ahead of their consumer
- `process_pool`: run one function for many tasks in several processes, with results in order
- `sharding`: select shard I of N of a list of work
- `rendezvous`: connect the processes under torchrun; `distributed`: exchange data between them
- `torchrun`: run one command in several processes that end together
- `signals`: handle Ctrl-C and SIGTERM
"""
