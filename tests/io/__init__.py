"""Tests of `hifigan_cli.io`."""
