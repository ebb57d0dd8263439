"""How far enhanced log-mels are from clean ones, on sounds that training does not hear.

These figures tell whether training goes on as it should, not how the result sounds: the network
that is nearest by distance alone sounds blurred. `hifigan evaluate` judges sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt

    from hifigan_cli.enhancement.network import Enhancer

_AT_ONCE = 16
_SPEECH_BELOW_PEAK = 4.0  # natural-log units: frames this far beneath the loudest hold speech


@torch.no_grad()
def validate_enhancer(
    network: Enhancer, pairs: npt.NDArray[np.float16], device: torch.device
) -> dict[str, float]:
    """Return L1 distances to the clean mel: before and after, and in frames with speech.

    `texture` is the result's roughness across bands in speech, relative to the clean mel's: 1 is
    right, less is blur.
    """
    sums: dict[str, list[float]] = {}
    network.eval()
    for start in range(0, len(pairs), _AT_ONCE):
        block = torch.from_numpy(pairs[start : start + _AT_ONCE].astype(np.float32)).to(device)
        noisy, clean = block.transpose(2, 3).unbind(1)
        made = network(noisy)
        level = clean.mean(1)
        speech = level > level.amax(1, keepdim=True) - _SPEECH_BELOW_PEAK
        rough = [m.diff(dim=1).abs().mean(1)[speech].mean() for m in (made, clean)]
        found = {
            "noisy_l1": (noisy - clean).abs().mean(),
            "mel_l1": (made - clean).abs().mean(),
            "speech_l1": (made - clean).abs().mean(1)[speech].mean(),
            "texture": rough[0] / rough[1],
        }
        for name, value in found.items():
            sums.setdefault(name, []).append(float(value))
    network.train()
    return {name: float(np.mean(values)) for name, values in sums.items()}
