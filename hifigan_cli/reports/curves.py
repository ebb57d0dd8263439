"""Curves over steps as drawings within a page, in the page's own colours, dark or light.

matplotlib draws them as SVG. What it draws in one colour that nothing else has, text and axes, then
takes the colour of the text around it.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    Points = npt.NDArray[np.float64]

_INK = "#010203"
# Okabe and Ito's colours, which the colour-blind tell apart; the dashes say the same again.
_STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"))
_MOST_POINTS = 500
_UNREFERENCED = re.compile(r' id="[\w.]+_\d+"')


@dataclass(frozen=True)
class Curve:
    """A curve: its title, and points `(n, 2)` of step and value, in the order of the steps.

    `known` points are few and exact, and marked; others are thinned out to their means.
    """

    title: str
    points: Sequence[tuple[float, float]]
    known: bool = False


def chart(title: str, curves: Sequence[Curve], *, log_steps: bool = False) -> str:
    """Draw curves into one frame; return a `<figure>`, or nothing where there are no points.

    With `log_steps` equal ratios of steps are equally far apart; step 0 is left out then.
    """
    drawn = [(curve, _finite(curve, from_step=1 if log_steps else 0)) for curve in curves]
    drawn = [(curve, points) for curve, points in drawn if len(points)]
    if not drawn:
        return ""
    words = "; ".join(_told(curve, points) for curve, points in drawn)
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f"{_inlined(_drawing(drawn, title, log_steps=log_steps), f'{title}: {words}')}</figure>"
    )


def thinned(points: Points) -> Points:
    """Return at most 500 points, each the mean of as many neighbours."""
    if len(points) <= _MOST_POINTS:
        return points
    edges = np.linspace(0, len(points), _MOST_POINTS + 1).astype(int)
    sums: Points = np.add.reduceat(points, edges[:-1], axis=0)
    return sums / np.diff(edges)[:, None]


def _finite(curve: Curve, from_step: int) -> Points:
    points = np.asarray(curve.points, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 0] >= from_step)]
    return points if curve.known else thinned(points)


def _told(curve: Curve, points: Points) -> str:
    """Say a curve to those who do not see it."""
    (first, start), (last, end) = points[0], points[-1]
    lowest = f", lowest {points[:, 1].min():.4g}" if len(points) > 2 else ""
    return f"{curve.title} {start:.4g} at step {first:,.0f}, {end:.4g} at step {last:,.0f}{lowest}"


def _drawing(drawn: Sequence[tuple[Curve, Points]], title: str, *, log_steps: bool) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Names within a drawing come from its title, so that two on a page share none.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=(4.8, 2.5), layout="constrained")
        axes = figure.subplots()
        for (curve, points), (colour, dashes) in zip(drawn, _STYLES, strict=False):
            marker = "o" if curve.known or len(points) == 1 else None
            axes.plot(*points.T, dashes, color=colour, marker=marker, ms=3, label=curve.title)
        _dress(axes, log_steps=log_steps, legend=len(drawn) > 1)
        memory = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(memory, format="svg", transparent=True, metadata=nothing)
    return memory.getvalue()


def _dress(axes: Axes, *, log_steps: bool, legend: bool) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel("step", color=_INK)
    if log_steps:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.ticklabel_format(axis="y", scilimits=(-3, 5), useMathText=True)
    axes.yaxis.get_offset_text().set_color(_INK)
    axes.tick_params(which="both", colors=_INK)
    axes.grid(color=_INK, alpha=0.15)
    for side, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_visible(side in ("left", "bottom"))
    if legend:
        axes.legend(frameon=False, labelcolor=_INK, fontsize="small")


def _inlined(svg: str, words: str) -> str:
    """Make a file of SVG a part of a page, as wide as its place, and named for who cannot see."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = _UNREFERENCED.sub("", svg).replace(_INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1)
