"""Tests of the engines: each against the plain forward pass of the same weights."""
