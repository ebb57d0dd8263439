"""The tests: a folder for each package of `hifigan_cli`, and `project` for tests of all of it.

- `conftest`: fixtures
- `helpers`: the command line in a subprocess, synthetic speech
- `project/test_layout`: which package may import which; what `--help` may import
- `project/test_parity`: the official weights in an independent generator

This folder itself has no test files, because setuptools would put them into the source
distribution.
"""
