"""What `info` says of a recording, of any length."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from hifigan_cli.audio import write_audio
from hifigan_cli.reports.describe import describe


def test_a_long_recording_is_looked_through_in_flat_memory(tmp_path: Path) -> None:
    """Guard hours of sound: levels are of all of it, and memory is not."""
    sound = np.zeros((1, 8_000 * 1_200), np.float32)
    sound[0, -3:] = 0.5, -1.0, 0.25
    write_audio(tmp_path / "long.wav", sound, 8_000)
    tracemalloc.start()
    found = describe(tmp_path / "long.wav")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < sound.nbytes / 1.5
    facts = {key: found.facts[key] for key in ("samples", "length_s", "peak_dbfs", "channels")}
    assert facts == {"samples": 9_600_000, "length_s": 1200, "peak_dbfs": 0, "channels": 1}
    assert found.facts["samples_at_full_scale"] == 1
