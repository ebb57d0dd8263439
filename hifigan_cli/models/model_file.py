"""The model file: a vocoder in one self-contained safetensors file.

It contains the generator's weights (weight norm folded), its architecture, its mel convention, its
provenance and a digest, and optionally the discriminators, for a warm start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from hifigan_cli.config import GeneratorConfig, MelConfig, VocoderConfig
from hifigan_cli.errors import ModelError
from hifigan_cli.io.files import is_file
from hifigan_cli.io.tensor_file import read_arrays, tensors_of, write_arrays
from hifigan_cli.models.shapes import check_shapes, generator_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from hifigan_cli.models.generator import Generator
    from hifigan_cli.types import AnyArray, FloatArray

MODEL_FILE = "model.safetensors"  # file name in the folder of a training run
KIND = "vocoder"
GENERATOR_PREFIX = "generator."


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file.

    Attributes:
        mel: the configuration of the mels that the generator reads.
        generator: the architecture.
        weights: the generator's folded weights, with the official parameter names.
        discriminators: states with the prefixes `mpd.` and `msd.`, or empty.
        provenance: name, source, license, steps and so on.
        digest: SHA-256 of the file's content; empty before the file is written.
    """

    mel: MelConfig
    generator: GeneratorConfig
    weights: dict[str, AnyArray]
    discriminators: dict[str, AnyArray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def weights_for_synthesis(self) -> dict[str, FloatArray]:
        """Check that the weights fit the architecture; return them in float32.

        Raises:
            ModelError: they do not fit; the message names the first key.
        """
        check_shapes(generator_shapes(self.generator, self.mel.n_mels), self.weights)
        return {key: value.astype(np.float32, copy=False) for key, value in self.weights.items()}

    def build(self, device: torch.device | str = "cpu") -> Generator:
        """Build the torch generator with these weights, for inference.

        Raises:
            ModelError: the weights do not fit the architecture; the message names the first key.
        """
        import torch

        from hifigan_cli.models.generator import Generator

        weights = self.weights_for_synthesis()
        with torch.device("meta"):  # shapes only, without memory
            net = Generator(self.generator, self.mel.n_mels, weight_norm=False)
        net.load_state_dict(tensors_of(weights), assign=True)
        return net.eval().requires_grad_(requires_grad=False).to(device)


def write_model(path: Path, model: ModelFile) -> str:
    """Write a model file atomically; return its digest.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays = {GENERATOR_PREFIX + key: value for key, value in model.weights.items()}
    description = {
        "kind": KIND,
        "mel": model.mel.model_dump(mode="json"),
        "generator": model.generator.model_dump(mode="json"),
        "provenance": model.provenance,
    }
    return write_arrays(path, {**arrays, **model.discriminators}, description)


def read_model(path: Path) -> ModelFile:
    """Read a model file and check its digest.

    Raises:
        ModelError: the file is missing, damaged or of another kind, or its architecture is invalid.
    """
    arrays, content = read_arrays(path)
    mel, generator = read_architecture(path, content)
    keys = [key for key in arrays if key.startswith(GENERATOR_PREFIX)]
    weights = {key.removeprefix(GENERATOR_PREFIX): arrays.pop(key) for key in keys}
    return ModelFile(mel, generator, weights, arrays, content["provenance"], content["digest"])


def read_architecture(path: Path, content: Mapping[str, Any]) -> tuple[MelConfig, GeneratorConfig]:
    """Check the description of a model file; return its mel convention and architecture.

    Raises:
        ModelError: the file is of another kind, or its configuration is invalid.
    """
    if content.get("kind") != KIND:
        raise ModelError(
            f"{path} is a {content.get('kind', 'file of another kind')}, not a vocoder model",
            "use the file RUN/model.safetensors of a training run",
        )
    try:
        config = VocoderConfig.model_validate({key: content[key] for key in ("mel", "generator")})
    except (KeyError, ValidationError) as error:
        raise ModelError(f"{path} has an invalid model configuration: {error}") from error
    return config.mel, config.generator


def model_in_run(folder: Path, name: str) -> Path:
    """Return the path of the model in the folder of a training run.

    Raises:
        ModelError: the folder has no model.
    """
    if not is_file(folder / name):
        raise ModelError(
            f"the folder {folder} has no {name}", "training writes it at each checkpoint"
        )
    return folder / name
