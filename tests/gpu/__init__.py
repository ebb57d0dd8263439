"""Tests that compare CUDA with the CPU. They are skipped without a GPU.

    python -m pytest -m gpu tests/gpu

`TEST_DEVICE=cpu` runs the same code on the CPU, to check it on a machine without a GPU.
"""
