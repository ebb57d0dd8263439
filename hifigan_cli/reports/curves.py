"""Draw curves over steps as inline SVG in the colors of the page, dark or light.

matplotlib draws text and axes in a color that nothing else uses. In the SVG that color is
replaced by `currentColor`, the color of the surrounding text.
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

_PLACEHOLDER_COLOR = "#010203"
# Okabe and Ito's colors, which color-blind readers can distinguish, each with its own dashes.
_STYLES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"))
_MAX_POINTS = 500


@dataclass(frozen=True)
class Curve:
    """A titled curve of points `(n, 2)`, step and value, in ascending order of the steps.

    If `exact`, all points are drawn, with markers; otherwise many points are averaged.
    """

    title: str
    points: Sequence[tuple[float, float]]
    exact: bool = False


def chart(title: str, curves: Sequence[Curve], *, log_steps: bool = False) -> str:
    """Draw curves into one chart; return a `<figure>`, or nothing if there are no points.

    `log_steps` makes the axis of steps logarithmic and omits step 0.
    """
    drawn = [(curve, _finite(curve, first_step=1 if log_steps else 0)) for curve in curves]
    drawn = [(curve, points) for curve, points in drawn if len(points)]
    if not drawn:
        return ""
    description = "; ".join(_describe(curve, points) for curve, points in drawn)
    svg = _to_inline_svg(_draw(drawn, title, log_steps=log_steps), f"{title}: {description}")
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>"


def downsample(points: DoubleArray) -> DoubleArray:
    """Return at most 500 points, each the mean of equally many neighbors."""
    if len(points) <= _MAX_POINTS:
        return points
    edges = np.linspace(0, len(points), _MAX_POINTS + 1).astype(int)
    sums: DoubleArray = np.add.reduceat(points, edges[:-1], axis=0)
    return sums / np.diff(edges)[:, None]


def _finite(curve: Curve, first_step: int) -> DoubleArray:
    points = np.asarray(curve.points, np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 0] >= first_step)]
    return points if curve.exact else downsample(points)


def _describe(curve: Curve, points: DoubleArray) -> str:
    """Describe a curve for screen readers."""
    (first, start), (last, end) = points[0], points[-1]
    lowest = f", lowest {points[:, 1].min():.4g}" if len(points) > 2 else ""
    return f"{curve.title} {start:.4g} at step {first:,.0f}, {end:.4g} at step {last:,.0f}{lowest}"


def _draw(drawn: Sequence[tuple[Curve, DoubleArray]], title: str, *, log_steps: bool) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    # The IDs in a drawing depend on its title, so that two drawings on a page share none.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=(4.8, 2.5), layout="constrained")
        axes = figure.subplots()
        for (curve, points), (color, dashes) in zip(drawn, _STYLES, strict=False):
            marker = "o" if curve.exact or len(points) == 1 else None
            axes.plot(*points.T, dashes, color=color, marker=marker, ms=3, label=curve.title)
        axes.set_xlabel("step", color=_PLACEHOLDER_COLOR)
        if log_steps:
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5), useMathText=True)
        axes.yaxis.get_offset_text().set_color(_PLACEHOLDER_COLOR)
        axes.tick_params(which="both", colors=_PLACEHOLDER_COLOR)
        axes.grid(color=_PLACEHOLDER_COLOR, alpha=0.15)
        axes.spines[:].set_color(_PLACEHOLDER_COLOR)
        axes.spines[["top", "right"]].set_visible(False)
        if len(drawn) > 1:
            axes.legend(frameon=False, labelcolor=_PLACEHOLDER_COLOR, fontsize="small")
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return buffer.getvalue()


def _to_inline_svg(svg: str, description: str) -> str:
    """Turn an SVG file into inline SVG of flexible width, with a text alternative."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)  # unused IDs
    svg = svg.replace(_PLACEHOLDER_COLOR, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
