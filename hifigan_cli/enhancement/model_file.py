"""The enhancer's file: weights, architecture, the mel it works on, where it came from, a digest."""

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

    import numpy.typing as npt
    import torch

    from hifigan_cli.enhancement.network import Enhancer
    from hifigan_cli.types import AnyArray

KIND = "enhancer"


@dataclass(frozen=True)
class EnhancerFile:
    """The content of an enhancer's file.

    Attributes:
        mel: the convention of the mel that it cleans.
        enhancer: its architecture.
        weights: of the network.
        provenance: where it came from, as plain words.
        digest: SHA-256 of the content; empty before it is written.
    """

    mel: MelConfig
    enhancer: EnhancerConfig
    weights: dict[str, AnyArray]
    provenance: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def weights_for_synthesis(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the weights in float32, after checking that the architecture has these.

        Raises:
            ModelError: they do not fit; names the first that does not.
        """
        check_shapes(enhancer_shapes(self.enhancer, self.mel.n_mels), self.weights)
        return {key: value.astype(np.float32, copy=False) for key, value in self.weights.items()}

    def build(self, device: torch.device | str = "cpu") -> Enhancer:
        """Make the torch network, with these weights, ready to work.

        Raises:
            ModelError: the weights do not fit the architecture.
        """
        import torch

        from hifigan_cli.enhancement.network import Enhancer

        own = tensors_of(self.weights_for_synthesis())
        with torch.device("meta"):
            net = Enhancer(self.enhancer, self.mel.n_mels)
        net.load_state_dict(own, assign=True)
        return net.eval().requires_grad_(requires_grad=False).to(device)


def write_enhancer(path: Path, model: EnhancerFile) -> str:
    """Write an enhancer's file atomically; return its digest.

    Raises:
        OutputError: the file system refused.
    """
    description = {
        "kind": KIND,
        "mel": model.mel.model_dump(mode="json"),
        "enhancer": model.enhancer.model_dump(mode="json"),
        "provenance": model.provenance,
    }
    return write_arrays(path, model.weights, description)


def read_enhancer(path: Path) -> EnhancerFile:
    """Read an enhancer's file and check its digest.

    Raises:
        ModelError: missing, damaged, of another kind, or of an impossible architecture.
    """
    weights, content = read_arrays(path)
    if content.get("kind") != KIND:
        raise ModelError(
            f"{path} is a {content.get('kind', 'file of another kind')}, not an enhancer",
            "`hifigan train-enhancer` makes one: RUN/enhancer.safetensors",
        )
    try:
        mel = MelConfig.model_validate(content["mel"])
        config = EnhancerConfig.model_validate(content["enhancer"])
        provenance = content["provenance"]
    except (KeyError, ValidationError) as error:
        raise ModelError(f"{path} describes an impossible enhancer: {error}") from error
    return EnhancerFile(mel, config, weights, provenance, content["digest"])


def enhancer_shapes(config: EnhancerConfig, n_mels: int) -> dict[str, Shape]:
    """Return the weights of an enhancer."""
    stem, channels, inner = (
        config.stem_channels,
        config.channels,
        config.channels * config.expansion,
    )
    shapes: dict[str, Shape] = {
        "stem.weight": (stem, 2, *STEM_KERNEL),
        "stem.bias": (stem,),
        "halve.weight": (stem, stem, *STEM_KERNEL),
        "halve.bias": (stem,),
        "enter.weight": (channels, 2 * n_mels + stem * -(-n_mels // 2)),
        "enter.bias": (channels,),
        "leave.weight": (2 * n_mels, channels),
        "leave.bias": (2 * n_mels,),
    }
    norms = ["enter_norm", "leave_norm"]
    for number in range(len(config.dilations)):
        block = f"blocks.{number}"
        norms.append(f"{block}.norm")
        shapes |= {
            f"{block}.depthwise.weight": (config.kernel, channels),
            f"{block}.depthwise.bias": (channels,),
            f"{block}.widen.weight": (inner, channels),
            f"{block}.widen.bias": (inner,),
            f"{block}.narrow.weight": (channels, inner),
            f"{block}.narrow.bias": (channels,),
            f"{block}.scale": (channels,),
        }
    for norm in norms:
        shapes |= {f"{norm}.weight": (channels,), f"{norm}.bias": (channels,)}
    return shapes
