"""The page of an evaluation, with players for a few clips from the worst to the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.reports.page import PageClip, TableColumn, Version, build_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.evaluation.report import ClipScores, Report
    from hifigan_cli.evaluation.thresholds import ThresholdResult

# The clips are ranked by the first of these metrics that was computed.
_RANKING = ("mel_l1_full", "log_magnitude", "mcd")


def evaluation_page(report: Report, max_clips: int, results: Sequence[ThresholdResult] = ()) -> str:
    """Return the page of a report, with players for at most `max_clips` clips.

    Raises:
        InputError: a file was removed after the evaluation.
    """
    selected = select_clips(report, max_clips)
    columns = [
        TableColumn(column.name, column.title, column.unit, column.digits)
        for column in report.columns
        if not column.name.endswith("_change")  # the change of a single clip means little
    ]
    return build_page(
        "Recordings and results",
        [_page_clip(clip) for clip in selected],
        _summary(report, len(selected), results),
        columns,
        [(clip.name, clip.values) for clip in report.clips],
    )


def select_clips(report: Report, count: int) -> list[ClipScores]:
    """Select clips at even intervals of their ranking, worst first."""
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


def _page_clip(clip: ClipScores) -> PageClip:
    files = {"recording": clip.reference, "result": clip.generated}
    versions = [Version(title, read_audio(path, repair=True)) for title, path in files.items()]
    return PageClip(clip.name, versions)


def _summary(
    report: Report, n_players: int, results: Sequence[ThresholdResult]
) -> list[tuple[str, str]]:
    lines = [("clips", f"{len(report.clips)}, {n_players} with players, worst first")]
    result_by_column = {result.column: result for result in results}
    for column in report.columns:
        summary = report.summary(column.name)
        if summary is None:
            continue
        text = f"{summary.mean:.{column.digits}f} {column.unit}".rstrip()
        if summary.low is not None and summary.high is not None:
            text += f" ({summary.low:.{column.digits}f} to {summary.high:.{column.digits}f})"
        if result := result_by_column.get(column.name):
            text += f", limit {result.limit}: {'ok' if result.passed else 'missed'}"
        lines.append((column.title, text))
    return lines
