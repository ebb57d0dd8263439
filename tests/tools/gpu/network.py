"""The restorer and its discriminators.

The restorer reads two log-mels, of the recording and of the filtered recording, each unchanged
and relative to its noise floor. Each cell of its output is a mix of both inputs and of a generated
value. All matrix products are within a frame and all convolutions over time are depthwise, as in
the enhancer, so the numpy and native engines could run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.enhancement.config import (
    FLOOR_QUANTILE,
    MEL_MEAN,
    MEL_STD,
    OUTPUT_MEAN,
    STEM_KERNEL,
    EnhancerConfig,
)
from hifigan_cli.enhancement.network import Block
from hifigan_cli.io.tensor_file import read_tensors
from hifigan_cli.models.discriminators import DiscriminatorOutput
from hifigan_cli.models.norms import add_weight_norm

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = EnhancerConfig(
    channels=288,
    stem_channels=16,
    kernel=7,
    expansion=2,
    dilations=(1, 2, 4, 8, 1, 2, 4, 8, 16, 1, 2, 4),
)
_PLANES = 4  # two mels, each unchanged and relative to its noise floor
_SOURCES = 3  # of the output: the recording, the filtered recording, the generated values
_INITIAL_MIX = (-1.0, 0.5, 0.0)  # of the sources, before softmax


class FilteredMelRestorer(nn.Module):
    """Map the log-mels of a recording and of the filtered recording to a clean log-mel.

    Shape: two of `(batch, n_mels, frames)` -> `(batch, n_mels, frames)`.
    """

    def __init__(self, config: EnhancerConfig = DEFAULT, n_mels: int = 80) -> None:
        super().__init__()
        self.config, self.n_mels = config, n_mels
        stem, channels = config.stem_channels, config.channels
        pad = (STEM_KERNEL[0] // 2, STEM_KERNEL[1] // 2)
        half_bands = -(-n_mels // 2)
        self.stem = nn.Conv2d(_PLANES, stem, STEM_KERNEL, padding=pad)
        self.halve = nn.Conv2d(stem, stem, STEM_KERNEL, stride=(2, 1), padding=pad)
        self.mix_bands = nn.Linear(half_bands, half_bands)
        self.enter = nn.Linear(_PLANES * n_mels + stem * half_bands, channels)
        self.enter_norm = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(Block(config, dilation) for dilation in config.dilations)
        self.leave_norm = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, (1 + _SOURCES) * n_mels)
        with torch.no_grad():
            start = torch.tensor(_INITIAL_MIX).repeat_interleave(n_mels)
            self.leave.bias[n_mels:] = start

    def forward(self, noisy: Tensor, filtered: Tensor, floors: Tensor | None = None) -> Tensor:
        """Return the clean log-mel.

        `floors` are the noise floors of both inputs, `(batch, 2, n_mels)`, computed by default.
        """
        mels = torch.stack([noisy, filtered], dim=1)
        floors = noise_floors(mels) if floors is None else floors
        planes = torch.cat([mels - MEL_MEAN, mels - floors[..., None]], dim=1) / MEL_STD
        patches = F.gelu(self.halve(F.gelu(self.stem(planes)))).permute(0, 3, 1, 2)
        # This connects all bands of a frame, because harmonics are far apart.
        patches = patches + F.gelu(self.mix_bands(patches))
        columns = torch.cat([planes.flatten(1, 2).transpose(1, 2), patches.flatten(2)], dim=2)
        h = self.enter_norm(self.enter(columns))
        for block in self.blocks:
            h = block(h)
        output = self.leave(self.leave_norm(h)).float().transpose(1, 2)
        generated, mix = output.split([self.n_mels, _SOURCES * self.n_mels], dim=1)
        sources = torch.stack([noisy, filtered, generated * MEL_STD + OUTPUT_MEAN], dim=1)
        weights = torch.softmax(mix.unflatten(1, (_SOURCES, self.n_mels)), dim=1)
        clean: Tensor = (weights * sources).sum(dim=1)
        return clean


def load_restorer(path: Path) -> FilteredMelRestorer:
    """Read a restorer from its file.

    Raises:
        ModelError: the file is damaged.
    """
    weights, description = read_tensors(path)
    network = FilteredMelRestorer(
        EnhancerConfig.model_validate(description["config"]), description["n_mels"]
    )
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network.eval()


def noise_floors(mels: Tensor) -> Tensor:
    """Return each band's 10th percentile over time: `(..., frames)` -> `(...)`."""
    return torch.quantile(mels.float(), FLOOR_QUANTILE, dim=-1)


class PooledPatchDiscriminator(nn.Module):
    """Score patches of log-mels `(batch, n_mels, frames)`, after average pooling."""

    def __init__(self, reduction: tuple[int, int], kernel: tuple[int, int], width: int) -> None:
        super().__init__()
        self.reduction = reduction
        widths = (1, width, 2 * width, 3 * width, 3 * width)
        strides = ((2, 1), (2, 2), (2, 2), (1, 1))
        pad = (kernel[0] // 2, kernel[1] // 2)
        self.layers = nn.ModuleList(
            add_weight_norm(nn.Conv2d(widths[i], widths[i + 1], kernel, strides[i], pad))
            for i in range(len(strides))
        )
        self.scores = add_weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, mel: Tensor) -> DiscriminatorOutput:
        """Score `(batch, n_mels, frames)`."""
        h = F.avg_pool2d(((mel - MEL_MEAN) / MEL_STD)[:, None], self.reduction)
        feature_maps = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.1)
            feature_maps.append(h)
        return DiscriminatorOutput(self.scores(h), feature_maps)


class Discriminators(nn.Module):
    """Patch discriminators at three resolutions: full, coarse in time, coarse in frequency."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        settings = (((1, 1), (5, 3)), ((1, 2), (5, 5)), ((2, 1), (3, 7)))
        self.parts = nn.ModuleList(
            PooledPatchDiscriminator(reduction, kernel, width) for reduction, kernel in settings
        )

    def forward(self, mel: Tensor) -> list[DiscriminatorOutput]:
        """Score `(batch, n_mels, frames)` at each resolution."""
        return [part(mel) for part in self.parts]
