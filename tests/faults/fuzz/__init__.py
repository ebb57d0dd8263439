"""Mutated files by the thousand: whatever they hold, there is an answer or an error with a name.

- `mutations`: how bytes are damaged, as a function of a seed
- `kinds`: audio, mels, model files and configurations: what is damaged, and who reads it
- `worker`: the process that reads, with little memory; it may crash
- `watch`: who looks after it: a crash or a hang is named with its number, and the rest goes on
- `test_fuzz`: so many of each; more with `-m slow`

A case is a kind and a number: `python -m tests.faults.fuzz.worker audio 1234 1235` tries one again.
"""
