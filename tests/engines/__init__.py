"""Tests of the engines: each against the plain forward of the same weights."""
