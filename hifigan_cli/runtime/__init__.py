"""What surrounds the work: devices, threads, processes, signals.

- `lazy`: names of a package that are loaded when they are first used
- `environment`: what this installation can do
- `devices`: which device the networks run on; `threads`: on how many CPU threads
- `background`: generators and functions in threads, ahead of their reader
- `process_pool`: one function for many tasks in several processes, results in order
- `sharding`: shard I of N of any list of work
- `rendezvous`: how processes under torchrun meet; `distributed`: what they exchange
- `torchrun`: one command in several processes that end together
- `signals`: Ctrl-C and SIGTERM, the first and the second
"""
