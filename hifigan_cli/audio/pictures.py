"""Pictures of log-mels: pixels for TensorBoard and pages, and figures with axes.

The colors of levels (magma) get lighter evenly, so that they are readable in print and for
color-blind readers. Differences use RdBu: red above zero, blue below, white at zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.conventions.scales import LOG_FLOOR
from hifigan_cli.io.files import atomic_replace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray

_MAX_LEVEL = 2.0  # about the loudest log-mel of speech at full scale
_GAP_ROWS = 4
_LEVEL_COLORMAP, _DIFFERENCE_COLORMAP = "magma", "RdBu_r"
_N_COLORS = 9  # a color bar has this many


def mel_picture(mels: Sequence[FloatArray]) -> npt.NDArray[np.uint8]:
    """Stack log-mels `(n_mels, frames)`, the first on top; return pixels `(height, width, 3)`.

    All share one color scale, from the log floor to full scale.
    """
    width = max(mel.shape[1] for mel in mels)
    rows: list[npt.NDArray[np.uint8]] = []
    for mel in mels:
        picture = np.full((mel.shape[0] + _GAP_ROWS, width, 3), 255, np.uint8)
        unit = np.clip((mel[::-1] - LOG_FLOOR) / (_MAX_LEVEL - LOG_FLOOR), 0, 1)
        picture[: mel.shape[0], : mel.shape[1]] = _pixels(_LEVEL_COLORMAP, unit)
        rows.append(picture)
    return np.concatenate(rows)[:-_GAP_ROWS]


def difference_picture(difference: FloatArray, limit: float) -> npt.NDArray[np.uint8]:
    """Color a difference `(n_mels, frames)`; return pixels `(n_mels, frames, 3)`.

    White is zero, full red is `limit` or more, full blue is `-limit` or less.
    """
    return _pixels(_DIFFERENCE_COLORMAP, np.clip(difference[::-1] / limit, -1, 1) / 2 + 0.5)


def _pixels(colormap: str, unit: FloatArray) -> npt.NDArray[np.uint8]:
    from matplotlib import colormaps

    pixels: npt.NDArray[np.uint8] = (colormaps[colormap](unit)[..., :3] * 255).astype(np.uint8)
    return pixels


def level_colors() -> tuple[list[str], float, float]:
    """Return the colors of log-mels as `#rrggbb`, and the natural logs at both ends."""
    return _hex(_LEVEL_COLORMAP), LOG_FLOOR, _MAX_LEVEL


def difference_colors() -> list[str]:
    """Return the colors of differences as `#rrggbb`, from negative to positive."""
    return _hex(_DIFFERENCE_COLORMAP)


def _hex(colormap: str) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[colormap](level)) for level in np.linspace(0, 1, _N_COLORS)]


def save_mel_figure(path: Path, mels: Sequence[tuple[str, FloatArray]], config: MelConfig) -> None:
    """Plot titled log-mels below each other, over seconds and bands; write the PNG atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.4 * len(mels)), dpi=110, layout="constrained")
    panels = figure.subplots(len(mels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (title, mel) in zip(panels, mels, strict=True):
        length_s = mel.shape[1] * config.hop_length / config.sample_rate
        image = panel.imshow(
            mel,
            origin="lower",
            aspect="auto",
            cmap=_LEVEL_COLORMAP,
            vmin=LOG_FLOOR,
            vmax=_MAX_LEVEL,
            extent=(0.0, length_s, -0.5, config.n_mels - 0.5),
        )
        panel.set_title(title, loc="left", fontsize=10)
        panel.set_ylabel("mel band")
    panels[-1].set_xlabel("time, s")
    figure.colorbar(image, ax=list(panels), label="log magnitude", pad=0.01)
    with atomic_replace(path) as temporary:
        figure.savefig(temporary, format="png")
