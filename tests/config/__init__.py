"""Tests of the configuration: layers, provenance, messages, TOML."""
