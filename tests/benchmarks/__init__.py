"""Tests of the measurements: what is counted is right."""
