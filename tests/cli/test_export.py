"""`hifigan export`: the file runs without this package and makes the model's samples."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.config import GeneratorConfig, MelConfig
from hifigan_cli.config.conventions import Variant
from hifigan_cli.engines import onnx as engine
from hifigan_cli.engines import onnxgraph
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.models import read_model, write_model
from hifigan_cli.synthesis.onnx_export import export_onnx
from tests.helpers import hifigan
from tests.models_for_tests import loud_model, tiny_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# Runs a file on mels, as a stranger would: no hifigan_cli and no torch can be imported.
STRANGER = """
import sys
sys.modules["hifigan_cli"] = sys.modules["torch"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
mels = np.load("mels.npz")
np.savez("samples.npz", **{k: session.run(["waveform"], {"mel": v})[0] for k, v in mels.items()})
"""
LIGHT = GeneratorConfig(
    resblock=2,
    upsample_rates=(8, 4),
    upsample_kernel_sizes=(16, 10),
    upsample_initial_channel=24,
    resblock_kernel_sizes=(3, 5, 7),
    resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
)


def write_light_model(path: Path) -> None:
    """Write a model of V3's kind of blocks, of another rate, hop and number of bands."""
    mel = MelConfig(
        sample_rate=8_000, n_fft=128, win_length=128, hop_length=32, n_mels=20, fmax=4e3
    )
    origin = {"name": "light", "licence": "MIT", "steps": 3}
    write_model(path, replace(loud_model(LIGHT, mel), provenance=origin))


def test_a_stranger_runs_it(model: Path, tmp_path: Path) -> None:
    """Lengths 1 to 500, batches of 1 and 3, two architectures: the plain forward's samples."""
    write_light_model(tmp_path / "light.safetensors")
    for source in (model, tmp_path / "light.safetensors"):
        run = hifigan("export", source, "-o", "model.onnx", "--force", cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        content = read_model(source)
        random = np.random.default_rng(0)
        mels = {
            f"{batch}x{frames}": random.normal(-5, 2, (batch, content.mel.n_mels, frames))
            for batch in (1, 3)
            for frames in (1, 2, 37, 500)
        }
        mels = {key: value.astype(np.float32) for key, value in mels.items()}
        np.savez(tmp_path / "mels.npz", **mels)  # type: ignore[arg-type] # of its first option
        subprocess.run([sys.executable, "-c", STRANGER], cwd=tmp_path, check=True)
        found = np.load(tmp_path / "samples.npz")
        net = content.build()
        for key, mel in mels.items():
            expected = net(torch.from_numpy(mel))[:, 0].numpy()
            np.testing.assert_allclose(found[key], expected, atol=2e-5, err_msg=key)


def test_the_file_describes_itself(tmp_path: Path) -> None:
    """It passes ONNX's checker; shapes are free, and rate, mel, origin and digest are told."""
    write_light_model(tmp_path / "light.safetensors")
    out = tmp_path / "new" / "light.onnx"
    run = hifigan("export", tmp_path / "light.safetensors", "-o", out, "--json")
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert (line["event"], line["opset"], line["size_bytes"]) == (
        "exported",
        17,
        out.stat().st_size,
    )
    for parity, shape in zip(line["parity"], [(1, 37), (2, 200)], strict=True):
        assert (parity["batch"], parity["frames"]) == shape
        assert 0 < parity["max_difference"] < 1e-5
        assert parity["snr_db"] > 110
    graph = onnx.load(out)
    onnx.checker.check_model(graph, full_check=True)
    (mel,), (waveform,) = graph.graph.input, graph.graph.output
    sizes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (mel, waveform)
    ]
    assert (mel.name, waveform.name) == ("mel", "waveform")
    assert sizes == [["batch", 20, "frames"], ["batch", "samples"]]
    told = {each.key: each.value for each in graph.metadata_props}
    content = read_model(tmp_path / "light.safetensors")
    assert (told["sample_rate"], told["hop_length"], told["name"]) == ("8000", "32", "light")
    assert (told["licence"], told["digest"]) == ("MIT", content.digest)
    assert MelConfig.model_validate_json(told["mel"]) == content.mel
    assert GeneratorConfig.model_validate_json(told["generator"]) == content.generator


def test_parity_is_printed(model: Path, tmp_path: Path) -> None:
    """People read how far the file's samples lie from the model's, at both lengths."""
    run = hifigan("export", model, "-o", tmp_path / "tiny.onnx")
    assert run.stdout == ""
    assert run.stderr.count("max difference") == 2


def test_other_samples_are_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the guard: a graph with a wrong last slope is an error, and leaves nothing behind."""
    monkeypatch.setattr(onnxgraph, "LAST_SLOPE", 0.1)
    with pytest.raises(ModelError, match="differ from the model's"):
        export_onnx(tiny_model(), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


def test_models_of_other_tools(tmp_path: Path) -> None:
    """What the model wants done to a mel is done in the file, so that it reads the plain mel."""
    usual = tiny_model()
    random = np.random.default_rng(0)
    variant = Variant(
        slope=0.2,
        conv_padding="reflect",
        input_mean=tuple(random.normal(-4, 1, 80).tolist()),
        input_scale=tuple(random.uniform(1, 2, 80).tolist()),
        inference_padding=5,
    )
    unusual = replace(usual, generator=usual.generator.model_copy(update={"variant": variant}))
    exported = export_onnx(unusual, tmp_path / "x.onnx")  # raises unless the samples agree
    assert max(each.max_difference for each in exported.parity) < 1e-5
    graph = onnx.load(tmp_path / "x.onnx").graph
    assert {"Sub", "Div", "Pad", "Slice"} <= {node.op_type for node in graph.node}


def test_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    with pytest.raises(UsageError) as caught:
        export_onnx(tiny_model(), tmp_path / "tiny.onnx")
    assert caught.value.hint == "pip install 'hifigan-cli[onnx]'"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("tiny.bin", 2, "ends in .onnx"), ("there.onnx", 4, "exists"), ("folder.onnx", 4, "folder")],
)
def test_refusals(model: Path, tmp_path: Path, name: str, code: int, words: str) -> None:
    """Another extension, an existing file, a folder: refused with the exit code of its kind."""
    (tmp_path / "there.onnx").write_bytes(b"mine")
    (tmp_path / "folder.onnx").mkdir()
    run = hifigan("export", model, "-o", tmp_path / name)
    assert run.returncode == code
    assert words in run.stderr
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    """A mistyped name is exit code 5, with what it may have meant."""
    run = hifigan("export", "universal-v2", "-o", tmp_path / "x.onnx")
    assert run.returncode == 5
    assert "universal-v1" in run.stderr
