"""Write the README's tables of speed from what `hifigan bench --json` printed.

    hifigan bench --threads 2 --json > bench.json
    hifigan bench --threads 2 --json --cold -m v2 >> bench.json
    python -m tests.tools.speed bench.json [--print]

Only figures of such a run stand there, with the machine that they are of.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hifigan_cli.benchmarks.contenders import Contender
from tests.tools.readme import README, between

Line = dict[str, Any]


def section(lines: Iterable[Line]) -> str:
    """Return the Markdown of all measurements, one after the other.

    Raises:
        ValueError: a line is of another kind.
    """
    makers = {"bench": _synthesis, "bench_cold": _cold}
    parts = []
    for line in lines:
        if line.get("event") not in makers:
            raise ValueError(f"not what hifigan bench prints: {line.get('event')}")
        parts.append(makers[line["event"]](line))
    return "\n\n".join(parts)


def _synthesis(line: Line) -> str:
    """Make a table: a row a model and engine, a column a length and batch."""
    figures = line["figures"]
    columns = list(dict.fromkeys(map(_column, figures)))
    rows: dict[tuple[str, str], dict[str, Line]] = {}
    for each in figures:
        rows.setdefault((each["model"], _title(each)), {})[_column(each)] = each
    out = [
        _row("model", "engine", *columns, "SNR dB", "memory MB"),
        "|---" * (len(columns) + 4) + "|",
    ]
    for (model, engine), row in rows.items():
        cells = [_speed(row[column]) if column in row else "-" for column in columns]
        snr = min(each["snr_db"] for each in row.values())
        taken = [each["memory_mb"] for each in row.values() if each["memory_mb"] is not None]
        out.append(_row(model, engine, *cells, f"{snr:.0f}", f"{max(taken):.0f}" if taken else "-"))
    random = sorted({each["model"] for each in figures if each["weights"] == "random"})
    peaks = ", ".join(f"{k} {v:,.0f}" for k, v in line["peak_gflop_per_s"].items())
    return (
        f"{_machine(line)} Seconds of speech a second, and in brackets the ratio to the plain "
        "forward of the same weights in the same run; the lowest SNR against double precision, and "
        f"the highest memory above the imports, over the lengths. Peak, GFLOP/s: {peaks}."
        + (f" Random weights: {', '.join(random)}." if random else "")
        + "\n\n"
        + "\n".join(out)
    )


def _cold(line: Line) -> str:
    """Make a table of whole processes."""
    out = [_row("model", "engine", "seconds", "ratio"), "|---|---|---|---|"]
    for each in line["figures"]:
        cells = f"{each['median_s']:.2f}", f"{each['ratio']:.2f}"
        out.append(_row(each["model"], _title(each), *cells))
    return (
        f"Whole processes of `hifigan resynth --no-enhance`, {line['length_s']:g} s of speech. "
        f"{_machine(line)}\n\n" + "\n".join(out)
    )


def _machine(line: Line) -> str:
    machine, versions = line["machine"], line["machine"]["versions"]
    shown = ", ".join(f"{k} {v}" for k, v in versions.items() if k in ("torch", "onnxruntime"))
    place = f"{machine['processor']}, {line['threads']} threads"
    if line.get("device", "cpu") != "cpu":
        place = line["device"]
    return f"{place}; {shown}; medians of {line['rounds']} rounds in turn."


def _column(figure: Line) -> str:
    batch, length = figure["batch"], f"{figure['length_s']:g} s"
    return length if batch == 1 else f"{batch} x {length}"


def _title(figure: Line) -> str:
    return Contender(figure["engine"], figure["precision"]).title


def _speed(figure: Line) -> str:
    return f"{figure['real_time_factor']:.3g} ({figure['ratio']:.2f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write, or print, the section of the measurements given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path, help="JSON lines of hifigan bench")
    parser.add_argument("--print", action="store_true", help="print it, change nothing")
    options = parser.parse_args()
    text = section(json.loads(line) for line in options.measured.read_text("utf-8").splitlines())
    if options.print:
        sys.stdout.write(text + "\n")
    else:
        README.write_text(between(README.read_text("utf-8"), "speed", text), "utf-8")


if __name__ == "__main__":
    main()
