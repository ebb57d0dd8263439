"""Tests of importing and naming models."""
