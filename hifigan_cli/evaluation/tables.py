"""A report as CSV, a row a clip, and as one object for JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hifigan_cli.evaluation.bars import Verdict
    from hifigan_cli.evaluation.report import ClipScores, Report


def to_csv(report: Report) -> str:
    """Return one row a clip: name, the two files, seconds, every figure (empty where none)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [column.name for column in report.columns]
    writer.writerow(["name", "reference", "hypothesis", "length_s", *names])
    for clip in report.clips:
        figures = (clip.values[name] for name in names)
        cells = ("" if value is None else f"{value:.6g}" for value in figures)
        paths = str(clip.reference), str(clip.hypothesis)
        writer.writerow([clip.name, *paths, f"{clip.length_s:.3f}", *cells])
    return text.getvalue()


def clip_object(clip: ClipScores) -> dict[str, Any]:
    """Return a clip's figures for JSON."""
    return {
        "name": clip.name,
        "reference": str(clip.reference),
        "hypothesis": str(clip.hypothesis),
        "length_s": clip.length_s,
        "figures": clip.values,
        "notes": list(clip.notes),
    }


def report_object(
    report: Report, bar: str | None = None, verdicts: tuple[Verdict, ...] = ()
) -> dict[str, Any]:
    """Return a report's means for JSON: plain dictionaries, lists, numbers and text."""
    summaries = {column.name: report.summary(column.name) for column in report.columns}
    return {
        "clips": len(report.clips),
        "lag_ms": report.lag_ms,
        "figures": {
            name: None if summary is None else asdict(summary)
            for name, summary in summaries.items()
        },
        "left_out": {measure.name: list(measure.missing) for measure in report.left_out},
        "lonely_references": [str(path) for path in report.lonely_references],
        "lonely_hypotheses": [str(path) for path in report.lonely_hypotheses],
        "failed": [
            {"name": name, "message": error.message, "exit_code": error.exit_code}
            for name, error in report.failures
        ],
        "bar": bar,
        "verdicts": [
            {
                "figure": verdict.limit.column,
                "limit": str(verdict.limit),
                "mean": verdict.mean,
                "passed": verdict.passed,
            }
            for verdict in verdicts
        ],
    }
