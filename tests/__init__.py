"""The tests: a folder for each package of `hifigan_cli`, and what holds for all of it here.

- `conftest`: fixtures; `helpers`: the command line in a subprocess, synthetic speech
- `test_layout`: which package may import which; what `--help` may load
- `test_parity`: the official weights in an independent generator
"""
