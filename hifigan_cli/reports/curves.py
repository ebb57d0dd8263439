"""Curves over steps as SVG drawings within a page, in the page's own colors, dark or light.

matplotlib draws text and axes in one color that nothing else has; it is then replaced by
`currentColor`, the color of the text around the drawing.
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

    from hifigan_cli.types import DoubleArray

_INK = "#010203"
# Okabe and Ito's colors, which the color-blind can distinguish, and another dash for each.
_STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"))
_MOST_POINTS = 500


@dataclass(frozen=True)
class Curve:
    """A curve: its title, and points `(n, 2)` of step and value, in the order of the steps.

    `known` points are few and exact, and get markers; others are thinned out to their means.
    """

    title: str
    points: Sequence[tuple[float, float]]
    known: bool = False


def chart(title: str, curves: Sequence[Curve], *, log_steps: bool = False) -> str:
    """Draw curves into one frame; return a `<figure>`, or nothing if there are no points.

    `log_steps` makes the axis of steps logarithmic and leaves out step 0.
    """
    drawn = [(curve, _finite(curve, first_step=1 if log_steps else 0)) for curve in curves]
    drawn = [(curve, points) for curve, points in drawn if len(points)]
    if not drawn:
        return ""
    words = "; ".join(_in_words(curve, points) for curve, points in drawn)
    svg = _inlined(_drawing(drawn, title, log_steps=log_steps), f"{title}: {words}")
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def thinned(points: DoubleArray) -> DoubleArray:
    """Return at most 500 points, each the mean of as many neighbors."""
    if len(points) <= _MOST_POINTS:
        return points
    edges = np.linspace(0, len(points), _MOST_POINTS + 1).astype(int)
    sums: DoubleArray = np.add.reduceat(points, edges[:-1], axis=0)
    return sums / np.diff(edges)[:, None]


def _finite(curve: Curve, first_step: int) -> DoubleArray:
    points = np.asarray(curve.points, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 0] >= first_step)]
    return points if curve.known else thinned(points)


def _in_words(curve: Curve, points: DoubleArray) -> str:
    """Describe a curve to those who do not see it."""
    (first, start), (last, end) = points[0], points[-1]
    lowest = f", lowest {points[:, 1].min():.4g}" if len(points) > 2 else ""
    return f"{curve.title} {start:.4g} at step {first:,.0f}, {end:.4g} at step {last:,.0f}{lowest}"


def _drawing(drawn: Sequence[tuple[Curve, DoubleArray]], title: str, *, log_steps: bool) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    # Names within a drawing come from its title, so that two on a page share none.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=(4.8, 2.5), layout="constrained")
        axes = figure.subplots()
        for (curve, points), (color, dashes) in zip(drawn, _STYLES, strict=False):
            marker = "o" if curve.known or len(points) == 1 else None
            axes.plot(*points.T, dashes, color=color, marker=marker, ms=3, label=curve.title)
        axes.set_xlabel("step", color=_INK)
        if log_steps:
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5), useMathText=True)
        axes.yaxis.get_offset_text().set_color(_INK)
        axes.tick_params(which="both", colors=_INK)
        axes.grid(color=_INK, alpha=0.15)
        axes.spines[:].set_color(_INK)
        axes.spines[["top", "right"]].set_visible(False)
        if len(drawn) > 1:
            axes.legend(frameon=False, labelcolor=_INK, fontsize="small")
        memory = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(memory, format="svg", transparent=True, metadata=metadata)
    return memory.getvalue()


def _inlined(svg: str, words: str) -> str:
    """Turn an SVG file into a part of a page, as wide as its place, with a text alternative."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)  # nothing refers to these
    svg = svg.replace(_INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1)
