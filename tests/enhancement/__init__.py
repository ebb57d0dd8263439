"""Tests of `hifigan_cli.enhancement`."""
