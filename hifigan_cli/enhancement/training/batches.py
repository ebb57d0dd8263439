"""Batches of the enhancer, each a function of seed and step alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hifigan_cli.audio.mel import LOG_FLOOR
from hifigan_cli.data.gpu_dataset import to_device

if TYPE_CHECKING:
    import numpy.typing as npt

    from hifigan_cli.enhancement.config import EnhancerTraining


def enhancer_batch(
    pairs: npt.NDArray[np.float16], training: EnhancerTraining, step: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return noisy and clean log-mels `(batch, mels, frames)` of pairs `(pairs, 2, frames, mels)`.

    Each pair's level is moved by its own amount, the same for both sides.
    """
    draw = np.random.default_rng((training.seed, step))
    chosen = np.sort(draw.integers(len(pairs), size=training.batch_size))
    start = int(draw.integers(pairs.shape[2] - training.segment_frames + 1))
    cut = pairs[chosen, :, start : start + training.segment_frames].astype(np.float32)
    levels = draw.uniform(-1, 1, (training.batch_size, 1, 1, 1)) * training.level_range
    moved = np.maximum(cut + levels.astype(np.float32), np.float32(LOG_FLOOR))
    both = to_device(torch.from_numpy(moved).transpose(2, 3).contiguous(), device)
    return both[:, 0], both[:, 1]
