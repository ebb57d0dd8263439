"""Tests of the data: corpus -> prepared folder -> batches."""
