"""Run the `hifigan` command by `python -m hifigan_cli`."""

from hifigan_cli.cli.main import main

main()
