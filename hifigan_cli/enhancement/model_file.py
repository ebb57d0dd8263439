"""The enhancer's model file: weights, architecture, mel convention, provenance, digest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement.config import STEM_KERNEL, EnhancerConfig
from hifigan_cli.errors import ModelError
from hifigan_cli.io.tensor_file import read_arrays, tensors_of, write_arrays
from hifigan_cli.models.shapes import Shape, check_shapes

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from hifigan_cli.enhancement.network import Enhancer
    from hifigan_cli.types import AnyArray, FloatArray

MODEL_FILE = "enhancer.safetensors"  # file name in the folder of a training run
KIND = "enhancer"


@dataclass(frozen=True)
class EnhancerFile:
    """The content of an enhancer's model file.

    Attributes:
        mel: the configuration of the mels that the enhancer reads and returns.
        enhancer: the architecture.
        weights: the network's weights.
        provenance: name, source and recipe.
        digest: SHA-256 of the content; empty before the file is written.
    """

    mel: MelConfig
    enhancer: EnhancerConfig
    weights: dict[str, AnyArray]
    provenance: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def weights_for_synthesis(self) -> dict[str, FloatArray]:
        """Check that the weights fit the architecture; return them in float32.

        Raises:
            ModelError: they do not fit; the message names the first key.
        """
        check_shapes(enhancer_shapes(self.enhancer, self.mel.n_mels), self.weights)
        return {key: value.astype(np.float32, copy=False) for key, value in self.weights.items()}

    def build(self, device: torch.device | str = "cpu") -> Enhancer:
        """Build the torch network with these weights, for inference.

        Raises:
            ModelError: the weights do not fit the architecture.
        """
        import torch

        from hifigan_cli.enhancement.network import Enhancer

        weights = tensors_of(self.weights_for_synthesis())
        with torch.device("meta"):
            network = Enhancer(self.enhancer, self.mel.n_mels)
        network.load_state_dict(weights, assign=True)
        return network.eval().requires_grad_(requires_grad=False).to(device)


def write_enhancer(path: Path, model: EnhancerFile) -> str:
    """Write an enhancer's model file atomically; return its digest.

    Raises:
        OutputError: the file cannot be written.
    """
    description = {
        "kind": KIND,
        "mel": model.mel.model_dump(mode="json"),
        "enhancer": model.enhancer.model_dump(mode="json"),
        "provenance": model.provenance,
    }
    return write_arrays(path, model.weights, description)


def read_enhancer(path: Path) -> EnhancerFile:
    """Read an enhancer's model file and check its digest.

    Raises:
        ModelError: the file is missing, damaged or of another kind, or its architecture is invalid.
    """
    weights, content = read_arrays(path)
    if content.get("kind") != KIND:
        raise ModelError(
            f"{path} is a {content.get('kind', 'file of another kind')}, not an enhancer",
            "use the file RUN/enhancer.safetensors of `hifigan train-enhancer`",
        )
    try:
        mel = MelConfig.model_validate(content["mel"])
        config = EnhancerConfig.model_validate(content["enhancer"])
        provenance = content["provenance"]
    except (KeyError, ValidationError) as error:
        raise ModelError(f"{path} has an invalid enhancer configuration: {error}") from error
    return EnhancerFile(mel, config, weights, provenance, content["digest"])


def enhancer_shapes(config: EnhancerConfig, n_mels: int) -> dict[str, Shape]:
    """Return the names and shapes of an enhancer's weights."""
    stem, channels = config.stem_channels, config.channels
    inner = channels * config.expansion
    shapes: dict[str, Shape] = {}

    def add(name: str, *weight: int, bias: int) -> None:
        shapes[f"{name}.weight"] = weight
        shapes[f"{name}.bias"] = (bias,)

    add("stem", stem, 2, *STEM_KERNEL, bias=stem)
    add("halve", stem, stem, *STEM_KERNEL, bias=stem)
    add("enter", channels, 2 * n_mels + stem * -(-n_mels // 2), bias=channels)
    add("enter_norm", channels, bias=channels)
    for block in (f"blocks.{number}" for number in range(len(config.dilations))):
        add(f"{block}.depthwise", config.kernel, channels, bias=channels)
        add(f"{block}.norm", channels, bias=channels)
        add(f"{block}.widen", inner, channels, bias=inner)
        add(f"{block}.narrow", channels, inner, bias=channels)
        shapes[f"{block}.scale"] = (channels,)
    add("leave_norm", channels, bias=channels)
    add("leave", 2 * n_mels, channels, bias=2 * n_mels)
    return shapes
