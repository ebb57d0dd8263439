"""The speed tables of the documentation, rendered from the output of `hifigan bench --json`."""

from __future__ import annotations

import pytest

from tests.tools.docs import replace_between
from tests.tools.speed import section

MACHINE = {"processor": "Some CPU", "cores": 4, "load": 0.1, "versions": {"torch": "2.14"}}


def measurement(engine: str, length_s: float, factor: float, **others: object) -> dict[str, object]:
    """Return one measurement in the format of `hifigan bench --json`."""
    return {
        "model": "v2",
        "weights": "random",
        "engine": engine,
        "precision": "fp32",
        "length_s": length_s,
        "batch": 1,
        "median_s": 0.1,
        "times_real_time": factor,
        "ratio": factor / 10,
        "snr_db": 120.0 - length_s,
        "memory_mb": 10 * length_s,
        **others,
    }


def test_table_has_a_row_per_engine_and_a_column_per_length() -> None:
    """The section has speeds, ratios, the lowest SNR, the highest memory, and the machine."""
    measurements = [
        *(measurement("eager", 1, 10), measurement("onnx", 1, 25.25)),
        *(measurement("eager", 5, 10), measurement("onnx", 5, 31, precision="bf16")),
    ]
    line = {
        "event": "bench",
        "machine": MACHINE,
        "threads": 2,
        "rounds": 5,
        "measurements": measurements,
    }
    text = section([{**line, "peak_gflop_per_s": {"fp32": 1234.5}}])
    assert "| model | engine | 1 s | 5 s | SNR dB | memory MB |" in text
    assert "| v2 | eager | 10 (1.00) | 10 (1.00) | 115 | 50 |" in text
    assert "| v2 | onnx | 25.2 (2.52) | - | 119 | 10 |" in text
    assert "| v2 | onnx bf16 | - | 31 (3.10) | 115 | 50 |" in text
    for fact in ("Some CPU", "2 threads", "torch 2.14", "v2", "fp32 1,234"):
        assert fact in text


def test_table_of_a_gpu_names_the_device_and_the_batch_sizes() -> None:
    """There is a column per batch size, and the section names the GPU instead of the CPU."""
    measurements = [measurement("torch", 5, 10), measurement("torch", 5, 99, batch=16)]
    line = {
        "event": "bench",
        "machine": MACHINE,
        "threads": 2,
        "rounds": 5,
        "measurements": measurements,
    }
    text = section([{**line, "device": "cuda:0 (Some GPU)", "peak_gflop_per_s": {}}])
    assert "| v2 | torch | 10 (1.00) | 99 (9.90) | 115 | 50 |" in text
    assert "| 5 s | 16 x 5 s |" in text
    assert text.startswith("cuda:0 (Some GPU); torch 2.14")


def test_cold_start_table() -> None:
    """The table has the seconds and the ratio of complete processes."""
    measurements = [{**measurement("native", 5, 1), "median_s": 0.456, "ratio": 6.789}]
    line = {"event": "bench_cold", "machine": MACHINE, "threads": 2, "rounds": 3, "length_s": 5}
    assert "| v2 | native | 0.46 | 6.79 |" in section([{**line, "measurements": measurements}])


def test_other_events_are_rejected() -> None:
    """An error that was printed as JSON is not rendered."""
    with pytest.raises(ValueError, match="error"):
        section([{"event": "error"}])


def test_only_the_section_changes() -> None:
    """The text around the markers stays; a page without markers is an error."""
    before = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb"
    assert replace_between(before, "x", "new") == before.replace("old", "new")
    with pytest.raises(ValueError, match="x: begin"):
        replace_between("a", "x", "new")
