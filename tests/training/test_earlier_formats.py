"""Files of earlier versions: format 1 of models and checkpoints, format 2 of prepared data."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from hifigan_cli.config import files
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.errors import ModelError
from hifigan_cli.io import tensor_file
from hifigan_cli.models.model_file import read_model
from tests.models_for_tests import write_tiny_model
from tests.training import small
from tests.training.runs import checkpoint, differing_tensors, train_run

if TYPE_CHECKING:
    from pathlib import Path

EARLIER = {current: earlier for earlier, current in files.EARLIER_NAMES.items()}


def with_earlier_names(content: Any) -> Any:
    """Rename the keys of a description to those of the earlier version."""
    if isinstance(content, dict):
        return {EARLIER.get(key, key): with_earlier_names(value) for key, value in content.items()}
    return (
        [with_earlier_names(value) for value in content] if isinstance(content, list) else content
    )


def to_format_1(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewrite a model file or a checkpoint as the earlier version wrote it."""
    tensors, description = tensor_file.read_tensors(path)
    for key in ("digest", "format"):
        description.pop(key)
    with monkeypatch.context() as patch:
        patch.setattr(tensor_file, "FORMAT", 1)
        tensor_file.write_tensors(path, tensors, with_earlier_names(description))
    assert b"rate_hz" in path.read_bytes()[:100_000]


def to_format_2(folder: Path) -> None:
    """Rewrite a prepared folder as the earlier version wrote it."""
    manifest = json.loads((folder / "prepared.json").read_text("utf-8"))
    clips = folder / "clips.jsonl"
    lines = [json.loads(line) for line in clips.read_text("utf-8").splitlines()]
    text = "".join(json.dumps(with_earlier_names(line)) + "\n" for line in lines)
    clips.write_text(text, "utf-8")
    manifest["files"]["clips.jsonl"] = {
        "bytes": len(text.encode()),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    manifest = with_earlier_names({**manifest, "format": 2})
    del manifest["digest"]
    manifest["digest"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "prepared.json").write_text(json.dumps(manifest), "utf-8")


def test_model_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of format 1 is the same model; a changed byte is still detected."""
    path = write_tiny_model(tmp_path / "m.safetensors")
    expected = read_model(path)
    to_format_1(path, monkeypatch)
    model = read_model(path)
    assert (model.mel, model.generator) == (expected.mel, expected.generator)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read_model(path)


def test_training_resumes(
    tmp_path: Path, small_discriminators: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of the earlier version resumes on its prepared data, to the same weights."""
    small.prepare(tmp_path / "prepared")
    clips = list(open_prepared(tmp_path / "prepared").training)
    to_format_2(tmp_path / "prepared")
    assert list(open_prepared(tmp_path / "prepared").training) == clips
    recipe: dict[str, Any] = {"checkpoint_every": 2, "validate_every": 4}
    train_run(tmp_path / "prepared", tmp_path / "full", steps=4, **recipe)
    train_run(tmp_path / "prepared", tmp_path / "resumed", steps=2, **recipe)
    to_format_1(checkpoint(tmp_path / "resumed", 2), monkeypatch)
    config = tmp_path / "resumed" / "config.toml"
    text = config.read_text("utf-8")
    for current_name, earlier_name in EARLIER.items():
        text = text.replace(f"\n{current_name} = ", f"\n{earlier_name} = ")
    config.write_text(text, "utf-8")
    train_run(tmp_path / "prepared", tmp_path / "resumed", steps=4, **recipe)
    last = (checkpoint(tmp_path / name, 4) for name in ("full", "resumed"))
    assert differing_tensors(*last) == []
