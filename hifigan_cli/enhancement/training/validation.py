"""How far enhanced log-mels are from clean ones, on sounds that training does not use.

These figures show whether training goes on as it should, not how the result sounds: the network
that is nearest by distance sounds blurred. `hifigan evaluate` scores sound.
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

_AT_ONCE = 16
_SPEECH_BELOW_PEAK = 4.0  # natural-log units: frames this far beneath the loudest hold speech


@torch.no_grad()
def validate_enhancer(
    network: Enhancer,
    pairs: HalfArray,
    device: torch.device,
    stopping: Callable[[], bool] = lambda: False,
) -> ValidationResult | None:
    """Measure L1 distances to the clean mel, before and after, and in frames with speech.

    `texture` is the result's roughness across bands in speech, relative to the clean mel's: 1 is
    right, less is blur. None if a signal came.
    """
    started = time.monotonic()
    rows: list[dict[str, float]] = []
    network.eval()
    for start in range(0, len(pairs), _AT_ONCE):
        if stopping():
            break
        block = torch.from_numpy(pairs[start : start + _AT_ONCE].astype(np.float32)).to(device)
        noisy, clean = block.transpose(2, 3).unbind(1)
        enhanced = network(noisy)
        level = clean.mean(1)
        speech = level > level.amax(1, keepdim=True) - _SPEECH_BELOW_PEAK
        rough, wanted = (m.diff(dim=1).abs().mean(1)[speech].mean() for m in (enhanced, clean))
        rows.append(
            {
                "noisy_l1": float((noisy - clean).abs().mean()),
                "mel_l1": float((enhanced - clean).abs().mean()),
                "speech_l1": float((enhanced - clean).abs().mean(1)[speech].mean()),
                "texture": float(rough / wanted),
            }
        )
    network.train()
    if stopping() or not rows:
        return None
    metrics = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return ValidationResult(metrics, len(pairs), time.monotonic() - started)
