"""Helpers: sounds for tests of the enhancer, a recipe that trains in seconds, a tiny enhancer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement.augmentation.pairs_file import PairSources
from hifigan_cli.enhancement.config import EnhancerConfig, EnhancerRunConfig
from hifigan_cli.enhancement.model_file import EnhancerFile, write_enhancer
from hifigan_cli.enhancement.network import Enhancer
from hifigan_cli.io.tensor_file import arrays_of
from tests.data.corpora import prepare, write, write_corpus

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.enhancement.mel_enhancer import MelEnhancer
    from hifigan_cli.types import FloatArray

TINY = {"channels": 8, "stem_channels": 2, "dilations": [1, 2]}
FAST: dict[str, Any] = {
    "pairs": 40,
    "validation_pairs": 4,
    "pair_frames": 24,
    "segment_frames": 16,
    "batch_size": 4,
    "steps": 90,
    "adversarial_steps": 75,
    "log_every": 5,
    "validate_every": 40,
    "checkpoint_every": 5,
}
# The same as values of `--set`.
SETTINGS = [f"{key}={value}" for key, value in {**TINY, **FAST}.items()]


def recipe(**training: Any) -> EnhancerRunConfig:
    """Return a recipe that trains in seconds; `training` overrides it."""
    return EnhancerRunConfig.model_validate({"enhancer": TINY, "training": {**FAST, **training}})


def sounds(folder: Path) -> tuple[Path, Path, Path]:
    """Write a folder of prepared speech, of noises and of RIRs; return the three paths."""
    prepare(write_corpus(folder / "corpus", 4, length_s=1.2), folder / "prepared")
    rng = np.random.default_rng(5)
    for number in range(9):
        noise = np.cumsum(rng.normal(0, 0.02, 16_000)) if number % 2 else rng.normal(0, 0.1, 9_000)
        write(folder / "noises" / f"noise{number}.wav", np.clip(noise, -0.9, 0.9), 16_000)
        response = rng.normal(0, 0.1, 6_000) * np.exp(-np.arange(6_000) / 900)
        response[300] = 0.9
        response[:300] = 0
        write(folder / "rirs" / f"rir{number}.wav", response, 32_000)
    return folder / "prepared", folder / "noises", folder / "rirs"


def sources(folder: Path, **training: Any) -> PairSources:
    """Write sounds and return them as the inputs of a run."""
    return PairSources(*sounds(folder), MelConfig(), recipe(**training))


def tiny_enhancer(seed: int = 0, mel: MelConfig | None = None) -> EnhancerFile:
    """Build an enhancer with few, random weights."""
    torch.manual_seed(seed)
    config = EnhancerConfig.model_validate(TINY)
    weights = arrays_of(Enhancer(config, 80).state_dict())
    return EnhancerFile(mel or MelConfig(), config, weights, {"name": "tiny"})


def write_tiny_enhancer(path: Path, seed: int = 0) -> Path:
    """Write the file of a tiny enhancer; return its path."""
    write_enhancer(path, tiny_enhancer(seed))
    return path


def enhance_mel(stage: MelEnhancer, mel: FloatArray, *, short: bool = False) -> FloatArray:
    """Enhance a complete log-mel `(channels, n_mels, frames)`."""
    return np.concatenate(list(stage.enhance_blocks([mel], short=short)), axis=-1)
