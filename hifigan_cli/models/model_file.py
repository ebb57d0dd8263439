"""The model file: a vocoder that describes itself.

One safetensors file with the generator's weights (weight norm folded), its architecture, the mel
that it reads, where it came from, and a digest; perhaps discriminators, for a warm start.
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

MODEL_FILE = "model.safetensors"  # in the folder of a training run
KIND = "vocoder"
GENERATOR = "generator."


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file.

    Attributes:
        mel: the convention of the mel it reads.
        generator: its architecture.
        weights: the generator's folded weights, under the official parameter names.
        discriminators: states under `mpd.` and `msd.`, or empty.
        provenance: where it came from, as plain words: name, source, licence, steps ...
        digest: SHA-256 of the file's content; empty before it is written.
    """

    mel: MelConfig
    generator: GeneratorConfig
    weights: dict[str, AnyArray]
    discriminators: dict[str, AnyArray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def weights_for_synthesis(self) -> dict[str, FloatArray]:
        """Return the weights in float32, after checking that the architecture has these.

        Raises:
            ModelError: they do not fit; names the first that does not.
        """
        check_shapes(generator_shapes(self.generator, self.mel.n_mels), self.weights)
        return {key: value.astype(np.float32, copy=False) for key, value in self.weights.items()}

    def build(self, device: torch.device | str = "cpu") -> Generator:
        """Build the generator as a torch network, with these weights, ready for synthesis.

        Raises:
            ModelError: the weights do not fit the architecture; names the first that does not.
        """
        import torch

        from hifigan_cli.models.generator import Generator

        weights = self.weights_for_synthesis()
        with torch.device("meta"):  # it has shapes and no memory
            net = Generator(self.generator, self.mel.n_mels, weight_norm=False)
        net.load_state_dict(tensors_of(weights), assign=True)
        return net.eval().requires_grad_(requires_grad=False).to(device)


def write_model(path: Path, model: ModelFile) -> str:
    """Write a model file atomically; return its digest.

    Raises:
        OutputError: the file system refused.
    """
    arrays = {GENERATOR + key: value for key, value in model.weights.items()}
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
        ModelError: missing, damaged, of another kind, or of an impossible architecture.
    """
    arrays, content = read_arrays(path)
    mel, generator = read_architecture(path, content)
    keys = [key for key in arrays if key.startswith(GENERATOR)]
    weights = {key.removeprefix(GENERATOR): arrays.pop(key) for key in keys}
    return ModelFile(mel, generator, weights, arrays, content["provenance"], content["digest"])


def read_architecture(path: Path, content: Mapping[str, Any]) -> tuple[MelConfig, GeneratorConfig]:
    """Check the description of a model file; return its mel convention and architecture.

    Raises:
        ModelError: another kind of file, or values that do not fit together.
    """
    if content.get("kind") != KIND:
        raise ModelError(
            f"{path} is a {content.get('kind', 'file of another kind')}, not a vocoder model",
            "the model file of a training run is RUN/model.safetensors",
        )
    try:
        config = VocoderConfig.model_validate({key: content[key] for key in ("mel", "generator")})
    except (KeyError, ValidationError) as error:
        raise ModelError(f"{path} describes an impossible model: {error}") from error
    return config.mel, config.generator


def model_in_run(folder: Path, name: str) -> Path:
    """Return the model in the folder of a training run.

    Raises:
        ModelError: there is none.
    """
    if not is_file(folder / name):
        raise ModelError(
            f"the folder {folder} has no {name}", "a training run writes it at each checkpoint"
        )
    return folder / name
