"""Write the tables in `.github/SPEED.md` from the output of `hifigan bench --json`.

    hifigan bench --threads 2 --json > bench.json
    hifigan bench --threads 2 --json --cold-start -m v2 >> bench.json
    python -m tests.tools.speed bench.json [--print]

The page contains only measurements from this output, with the machine they were taken on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hifigan_cli.benchmarks.variants import EngineVariant
from tests.tools.docs import SPEED_PAGE, write_between

JsonObject = dict[str, Any]


def section(lines: Iterable[JsonObject]) -> str:
    """Return the Markdown of all measurements, one after the other.

    Raises:
        ValueError: a line has another event.
    """
    renderers = {"bench": _synthesis_table, "bench_cold": _cold_start_table}
    parts = []
    for line in lines:
        if line.get("event") not in renderers:
            raise ValueError(f"expected output of hifigan bench, not the event {line.get('event')}")
        parts.append(renderers[line["event"]](line))
    return "\n\n".join(parts)


def _synthesis_table(line: JsonObject) -> str:
    """Return a table with a row per model and engine, and a column per length and batch size."""
    measurements = line["measurements"]
    columns = list(dict.fromkeys(map(_column, measurements)))
    rows: dict[tuple[str, str], dict[str, JsonObject]] = {}
    for measurement in measurements:
        rows.setdefault((measurement["model"], _title(measurement)), {})[_column(measurement)] = (
            measurement
        )
    table = [
        _row("model", "engine", *columns, "SNR dB", "memory MB"),
        "|---" * (len(columns) + 4) + "|",
    ]
    for (model, engine), row in rows.items():
        cells = [_speed(row[column]) if column in row else "-" for column in columns]
        snr = min(measurement["snr_db"] for measurement in row.values())
        memory = [f["memory_mb"] for f in row.values() if f["memory_mb"] is not None]
        max_memory = f"{max(memory):.0f}" if memory else "-"
        table.append(_row(model, engine, *cells, f"{snr:.0f}", max_memory))
    random = sorted({f["model"] for f in measurements if f["weights"] == "random"})
    peaks = ", ".join(f"{k} {v:,.0f}" for k, v in line["peak_gflop_per_s"].items())
    return (
        f"{_machine(line)} Seconds of speech per second, and in brackets the ratio to the "
        "eager forward pass of the same weights in the same run; the lowest SNR against double "
        "precision and the highest memory, without imports, of all lengths. "
        f"Peak, GFLOP/s: {peaks}."
        + (f" Random weights: {', '.join(random)}." if random else "")
        + "\n\n"
        + "\n".join(table)
    )


def _cold_start_table(line: JsonObject) -> str:
    """Return a table of complete processes."""
    table = [_row("model", "engine", "seconds", "ratio"), "|---|---|---|---|"]
    for measurement in line["measurements"]:
        cells = f"{measurement['median_s']:.2f}", f"{measurement['ratio']:.2f}"
        table.append(_row(measurement["model"], _title(measurement), *cells))
    return (
        f"Complete processes of `hifigan resynth --no-enhance`, {line['length_s']:g} s of speech. "
        f"{_machine(line)}\n\n" + "\n".join(table)
    )


def _machine(line: JsonObject) -> str:
    machine, versions = line["machine"], line["machine"]["versions"]
    shown = ", ".join(f"{k} {v}" for k, v in versions.items() if k in ("torch", "onnxruntime"))
    setup = f"{machine['processor']}, {line['threads']} threads"
    if line.get("device", "cpu") != "cpu":
        setup = line["device"]
    return f"{setup}; {shown}; medians of {line['rounds']} alternating rounds."


def _column(measurement: JsonObject) -> str:
    batch, length = measurement["batch"], f"{measurement['length_s']:g} s"
    return length if batch == 1 else f"{batch} x {length}"


def _title(measurement: JsonObject) -> str:
    return EngineVariant(measurement["engine"], measurement["precision"]).title


def _speed(measurement: JsonObject) -> str:
    return f"{measurement['times_real_time']:.3g} ({measurement['ratio']:.2f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write or print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path, help="output of hifigan bench --json")
    parser.add_argument(
        "--print", action="store_true", help="print the section instead of writing it"
    )
    options = parser.parse_args()
    text = section(json.loads(line) for line in options.measured.read_text("utf-8").splitlines())
    if options.print:
        sys.stdout.write(text + "\n")
    else:
        write_between(SPEED_PAGE, "speed", text)


if __name__ == "__main__":
    main()
