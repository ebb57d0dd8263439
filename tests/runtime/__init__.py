"""Tests of `hifigan_cli.runtime`."""
