"""Fault tests: a test for each row of the fault matrix, and random faults.

- `matrix`: the fifty rows, and their table at the end of a test run
- `limits`: full disks, read-only folders and little memory, for a command
- `command`, `runs`: run commands in subprocesses, to the end or in the background
- `fault_injection`: the command with a fault in training
- `test_row_*`: the rows, each through the command line
- `test_matrix`: checks that each row has a test
- `fuzz`: thousands of mutated files, which must be read or raise a `HifiganError`
- `kills`, `test_kills`: commands that are killed at random moments and restarted
- `test_integrity`: flipped bits
- `test_security`: sockets, pickles, temporary files
"""
