"""`python -m hifigan_cli` is `hifigan`."""

from hifigan_cli.cli.main import main

main()
