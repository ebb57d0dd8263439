"""The page of an evaluation: a few clips to hear, spread from the worst to the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.reports.page import Heading, ShownClip, Version, build_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.evaluation.report import ClipScores, Report
    from hifigan_cli.evaluation.thresholds import ThresholdResult

# The first of these that was computed ranks the clips.
_RANKING = ("mel_l1_full", "log_magnitude", "mcd")


def page_of_report(report: Report, clips: int, results: Sequence[ThresholdResult] = ()) -> str:
    """Return the listening page of a report, with at most `clips` of its clips to hear.

    Raises:
        InputError: a file has disappeared since the evaluation.
    """
    chosen = spread(report, clips)
    headings = [
        Heading(column.name, column.title, column.unit, column.digits)
        for column in report.columns
        if not column.name.endswith("_change")  # of single clips, it means little
    ]
    return build_page(
        "Recordings and results",
        [_shown(clip) for clip in chosen],
        _summary(report, len(chosen), results),
        headings,
        [(clip.name, clip.values) for clip in report.clips],
    )


def spread(report: Report, count: int) -> list[ClipScores]:
    """Choose clips evenly along their ranking, worst first."""
    computed = {column.name for column in report.columns}
    key = next((name for name in _RANKING if name in computed), None)
    ranked = list(report.clips)
    if key:
        ranked.sort(key=lambda clip: -(clip.values[key] or 0.0))
    if count >= len(ranked):
        return ranked
    if count == 1:
        return ranked[:1]
    return [ranked[round(i * (len(ranked) - 1) / (count - 1))] for i in range(count)]


def _shown(clip: ClipScores) -> ShownClip:
    files = {"recording": clip.reference, "result": clip.hypothesis}
    versions = [Version(title, read_audio(path, repair=True)) for title, path in files.items()]
    return ShownClip(clip.name, versions)


def _summary(
    report: Report, heard: int, results: Sequence[ThresholdResult]
) -> list[tuple[str, str]]:
    lines = [("clips", f"{len(report.clips)}, {heard} of them to hear, worst first")]
    limited = {result.column: result for result in results}
    for column in report.columns:
        summary = report.summary(column.name)
        if summary is None:
            continue
        text = f"{summary.mean:.{column.digits}f} {column.unit}".rstrip()
        if summary.low is not None and summary.high is not None:
            text += f" ({summary.low:.{column.digits}f} to {summary.high:.{column.digits}f})"
        if result := limited.get(column.name):
            text += f", limit {result.limit}: {'ok' if result.passed else 'missed'}"
        lines.append((column.title, text))
    return lines
