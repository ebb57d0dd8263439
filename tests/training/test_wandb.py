"""Weights & Biases with the real package: the content of an offline run."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.training import TrainOptions, train
from tests.training import small
from tests.training.runs import CPU

pytest.importorskip("wandb", reason="the wandb extra is not installed")

pytestmark = pytest.mark.usefixtures("small_discriminators")


_HEADER, _BLOCK = 7, 32_768  # the file is a LevelDB log after the header


def records(folder: Path) -> list[Any]:
    """Return all records in the `.wandb` file of an offline run; the package has no reader."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    parsed, message, position = [], b"", _HEADER
    while position + 7 <= len(content):
        if _BLOCK - position % _BLOCK < 7:  # too short for a record header: padding
            position += _BLOCK - position % _BLOCK
            continue
        _checksum, length, kind = struct.unpack_from("<IHB", content, position)
        message += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a complete record, or the last part of one
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # defined at import
            record.ParseFromString(message)
            parsed.append(record)
            message = b""
    return parsed


def history(records: list[Any]) -> list[dict[str, Any]]:
    """Return the metrics and media of each step by name."""
    rows = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {item.key or ".".join(item.nested_key): item.value_json for item in items}
            rows.append({key: json.loads(value) for key, value in row.items()})
    return rows


def test_offline_run_contains_metrics_and_media(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that a resumed training keeps its id, and the run contains all metrics and media."""
    for name, value in {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    run = tmp_path / "run"
    for steps in (2, 3):
        recipe = small.config(steps=steps, validate_every=1)
        options = TrainOptions(recipe, prepared, run, CPU, tensorboard=False, wandb="project")
        train(options, lambda _event: None)
    folders = sorted((run / "wandb").glob("offline-run-*"), key=lambda path: path.stat().st_mtime)
    assert [path.name.rpartition("-")[2] for path in folders] == [
        (run / "wandb.id").read_text()
    ] * 2
    contents = [records(folder) for folder in folders]
    first = next(r.run for r in contents[0] if r.WhichOneof("record_type") == "run")
    assert (first.project, first.display_name) == ("project", "run")
    assert "train" in {update.key for update in first.config.update}
    rows = [row for content in contents for row in history(content)]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        event, step = line.pop("event"), line.pop("step")
        merged: dict[str, Any] = {}
        for row in rows:
            if row["_step"] == step:
                merged |= row
        for name, value in line.items():
            assert merged[f"{event}/{name}"] == pytest.approx(value), (step, name)
    media = [row for row in rows if "clip08/generated.path" in row]
    assert [row["_step"] for row in media] == [0, 1, 2, 3]
    for row in media:
        for kind in ("generated", "recording", "mel"):
            (path,) = (run / "wandb").rglob(Path(row[f"clip08/{kind}.path"]).name)
            assert path.stat().st_size > 500
        assert row["clip08/mel.height"] > 2 * 80
