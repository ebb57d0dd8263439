"""Measure the distance of enhanced log-mels from clean ones, on held-out sounds.

These metrics show the progress of training, not the sound quality: the network with the smallest
distance sounds blurred. `hifigan evaluate` scores sound.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.training.trainer import ValidationResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.enhancement.network import Enhancer
    from hifigan_cli.types import HalfArray

_BATCH_SIZE = 16
_SPEECH_RANGE = 4.0  # frames up to this far below the loudest are speech, in natural-log units


@torch.no_grad()
def validate_enhancer(
    network: Enhancer,
    pairs: HalfArray,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
) -> ValidationResult | None:
    """Measure L1 distances to the clean mel: of the noisy and the enhanced mel, and in speech.

    `relative_roughness` is the roughness across bands in speech, relative to that of the clean
    mel: below 1 the result is blurred. Return None if a signal arrived.
    """
    started = time.monotonic()
    rows: list[dict[str, float]] = []
    network.eval()
    for start in range(0, len(pairs), _BATCH_SIZE):
        if should_stop():
            break
        block = torch.from_numpy(pairs[start : start + _BATCH_SIZE].astype(np.float32)).to(device)
        noisy, clean = block.transpose(2, 3).unbind(1)
        enhanced = network(noisy)
        level = clean.mean(1)
        speech = level > level.amax(1, keepdim=True) - _SPEECH_RANGE
        roughness, clean_roughness = (
            m.diff(dim=1).abs().mean(1)[speech].mean() for m in (enhanced, clean)
        )
        rows.append(
            {
                "noisy_l1": float((noisy - clean).abs().mean()),
                "mel_l1": float((enhanced - clean).abs().mean()),
                "speech_l1": float((enhanced - clean).abs().mean(1)[speech].mean()),
                "relative_roughness": float(roughness / clean_roughness),
            }
        )
    network.train()
    if should_stop() or not rows:
        return None
    metrics = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return ValidationResult(metrics, len(pairs), time.monotonic() - started)
