"""Weights & Biases for real: an offline run, written by a training and read back from its file."""

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


_HEADER, _BLOCK = 7, 32_768  # of the file; its blocks, as in a log of LevelDB


def records(folder: Path) -> list[Any]:
    """Return every record of the one `.wandb` file of an offline run; the package reads none."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    found, message, place = [], b"", _HEADER
    while place + 7 <= len(content):
        if _BLOCK - place % _BLOCK < 7:  # too little for a head: the rest of the block is empty
            place += _BLOCK - place % _BLOCK
            continue
        _checksum, length, kind = struct.unpack_from("<IHB", content, place)
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # made as it loads
            record.ParseFromString(message)
            found.append(record)
            message = b""
    return found


def history(found: list[Any]) -> list[dict[str, Any]]:
    """Return each step's figures and media by name."""
    rows = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {item.key or ".".join(item.nested_key): item.value_json for item in items}
            rows.append({key: json.loads(value) for key, value in row.items()})
    return rows


def test_an_offline_run_holds_curves_sounds_and_pictures(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects `--wandb` with the package itself: a resumed training goes on under its id, each
    figure of metrics.jsonl is there at its step, sound and pictures are files beside it."""
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
    written = [records(folder) for folder in folders]
    begun = next(r.run for r in written[0] if r.WhichOneof("record_type") == "run")
    assert (begun.project, begun.display_name) == ("project", "run")
    assert "train" in {update.key for update in begun.config.update}
    rows = [row for found in written for row in history(found)]
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
