"""Tests of the networks, losses and model files."""
