"""Tests of the engines: each against the eager forward pass of the same weights."""
