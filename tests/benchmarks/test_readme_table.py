"""The README's tables of speed are made of what `hifigan bench --json` prints, and nothing else."""

from __future__ import annotations

import pytest

from tests.tools.readme import between
from tests.tools.speed import section

MACHINE = {"processor": "Some CPU", "cores": 4, "load": 0.1, "versions": {"torch": "2.14"}}


def figure(engine: str, length_s: float, factor: float, **others: object) -> dict[str, object]:
    """Return a figure as `hifigan bench --json` has it."""
    return {
        "model": "v2",
        "weights": "random",
        "engine": engine,
        "precision": "fp32",
        "length_s": length_s,
        "batch": 1,
        "median_s": 0.1,
        "real_time_factor": factor,
        "ratio": factor / 10,
        "snr_db": 120.0 - length_s,
        "memory_mb": 10 * length_s,
        **others,
    }


def test_a_row_an_engine_and_a_column_a_length() -> None:
    """Speeds, ratios, the lowest SNR, the highest memory, and what they were measured on."""
    figures = [
        *(figure("eager", 1, 10), figure("onnx", 1, 25.25)),
        *(figure("eager", 5, 10), figure("onnx", 5, 31, precision="bf16")),
    ]
    line = {"event": "bench", "machine": MACHINE, "threads": 2, "rounds": 5, "figures": figures}
    text = section([{**line, "peak_gflop_per_s": {"fp32": 1234.5}}])
    assert "| model | engine | 1 s | 5 s | SNR dB | memory MB |" in text
    assert "| v2 | plain | 10 (1.00) | 10 (1.00) | 115 | 50 |" in text
    assert "| v2 | onnx | 25.2 (2.52) | - | 119 | 10 |" in text
    assert "| v2 | onnx bf16 | - | 31 (3.10) | 115 | 50 |" in text
    for words in ("Some CPU, 2 threads; torch 2.14", "Random weights: v2", "fp32 1,234"):
        assert words in text


def test_a_gpu_and_its_batches_are_named() -> None:
    """A column a batch; the device, not the processor beside it, is what it was measured on."""
    figures = [figure("torch", 5, 10), figure("torch", 5, 99, batch=16)]
    line = {"event": "bench", "machine": MACHINE, "threads": 2, "rounds": 5, "figures": figures}
    text = section([{**line, "device": "cuda:0 (Some GPU)", "peak_gflop_per_s": {}}])
    assert "| v2 | torch | 10 (1.00) | 99 (9.90) | 115 | 50 |" in text
    assert "| 5 s | 16 x 5 s |" in text
    assert text.startswith("cuda:0 (Some GPU); torch 2.14")


def test_cold_starts_have_a_table_of_their_own() -> None:
    """Seconds and ratio of whole processes."""
    figures = [{**figure("native", 5, 1), "median_s": 0.456, "ratio": 6.789}]
    line = {"event": "bench_cold", "machine": MACHINE, "threads": 2, "rounds": 3, "length_s": 5}
    assert "| v2 | native | 0.46 | 6.79 |" in section([{**line, "figures": figures}])


def test_other_lines_are_refused() -> None:
    """An error that was printed as JSON is not made a table of."""
    with pytest.raises(ValueError, match="error"):
        section([{"event": "error"}])


def test_only_the_section_changes() -> None:
    """What stands around the markers stays; a README without them is refused."""
    before = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb"
    assert between(before, "x", "new") == before.replace("old", "new")
    with pytest.raises(ValueError, match="needs the lines"):
        between("a", "x", "new")
