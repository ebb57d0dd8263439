"""Tests of the complete project: layout, documents, packages, and the official weights."""
