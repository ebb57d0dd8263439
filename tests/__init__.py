"""The tests: a folder for each package of `hifigan_cli`, and `whole` for what holds for all of it.

- `conftest`: fixtures; `helpers`: the command line in a subprocess, synthetic speech
- `whole/test_layout`: which package may import which; what `--help` may load
- `whole/test_parity`: the official weights in an independent generator

No test lies here itself: setuptools would put it into the source distribution.
"""
