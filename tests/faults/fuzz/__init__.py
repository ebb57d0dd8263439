"""Fuzzing: thousands of mutated files must be read or raise a `HifiganError`.

- `mutations`: mutations of bytes, as a function of a random generator
- `kinds`: the original files and their readers: audio, mels, model files, configurations
- `worker`: a process with limited memory that runs cases, and may crash
- `supervisor`: runs workers; it records a crash or a hang, and continues with the next case
- `test_fuzz`: the tests; more cases with `-m slow`

A case is a kind and a number: `python -m tests.faults.fuzz.worker audio 1234 1235` repeats one.
"""
