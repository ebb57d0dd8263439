"""What only a GPU can show: CUDA against the CPU. Skipped without one.

    python -m pytest -m gpu tests/gpu

`TEST_DEVICE=cpu` runs the same lines on the CPU, so that a session without a GPU sees them work.
"""
