"""`hifigan export`: the ONNX file runs without this package and generates the same samples."""

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
from hifigan_cli.config.conventions import GeneratorVariant
from hifigan_cli.engines import onnx as engine
from hifigan_cli.engines import onnx_graph
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.models import read_model, write_model
from hifigan_cli.synthesis.onnx_export import export_onnx
from tests.helpers import hifigan
from tests.models_for_tests import loud_model, tiny_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# Runs the file in a process that cannot import hifigan_cli or torch.
RUN_WITHOUT_PACKAGE = """
import sys
sys.modules["hifigan_cli"] = sys.modules["torch"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
mels = np.load("mels.npz")
np.savez("samples.npz", **{k: session.run(["waveform"], {"mel": v})[0] for k, v in mels.items()})
"""
SMALL_V3 = GeneratorConfig(
    resblock=2,
    upsample_rates=(8, 4),
    upsample_kernel_sizes=(16, 10),
    upsample_initial_channel=24,
    resblock_kernel_sizes=(3, 5, 7),
    resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
)


def write_small_model(path: Path) -> None:
    """Write a small V3 model with another sample rate, hop length and number of mel bands."""
    mel = MelConfig(
        sample_rate=8_000, n_fft=128, win_length=128, hop_length=32, n_mels=20, fmax=4e3
    )
    provenance = {"name": "small", "license": "MIT", "steps": 3}
    write_model(path, replace(loud_model(SMALL_V3, mel), provenance=provenance))


def test_onnx_equals_pytorch(model: Path, tmp_path: Path) -> None:
    """The samples agree for 1 to 500 frames, batch sizes 1 and 3, and two architectures."""
    write_small_model(tmp_path / "small.safetensors")
    for source in (model, tmp_path / "small.safetensors"):
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
        np.savez(tmp_path / "mels.npz", **mels)  # type: ignore[arg-type] # allow_pickle
        subprocess.run([sys.executable, "-c", RUN_WITHOUT_PACKAGE], cwd=tmp_path, check=True)
        samples = np.load(tmp_path / "samples.npz")
        generator = content.build()
        for key, mel in mels.items():
            expected = generator(torch.from_numpy(mel))[:, 0].numpy()
            np.testing.assert_allclose(samples[key], expected, atol=2e-5, err_msg=key)


def test_onnx_metadata(tmp_path: Path) -> None:
    """The file passes ONNX's checker, has dynamic shapes, and its metadata are complete."""
    write_small_model(tmp_path / "small.safetensors")
    out = tmp_path / "new" / "small.onnx"
    run = hifigan("export", tmp_path / "small.safetensors", "-o", out, "--json")
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
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    content = read_model(tmp_path / "small.safetensors")
    facts = (metadata["sample_rate"], metadata["hop_length"], metadata["name"])
    assert facts == ("8000", "32", "small")
    assert (metadata["license"], metadata["digest"]) == ("MIT", content.digest)
    assert MelConfig.model_validate_json(metadata["mel"]) == content.mel
    assert GeneratorConfig.model_validate_json(metadata["generator"]) == content.generator


def test_parity_is_printed(model: Path, tmp_path: Path) -> None:
    """stderr has the difference from the PyTorch model at two lengths."""
    run = hifigan("export", model, "-o", tmp_path / "tiny.onnx")
    assert run.stdout == ""
    assert run.stderr.count("SNR") == 2


def test_wrong_graph_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph with a wrong final slope is an error, and no file is written."""
    monkeypatch.setattr(onnx_graph, "FINAL_LRELU_SLOPE", 0.1)
    with pytest.raises(ModelError, match=r"wrong\.onnx"):
        export_onnx(tiny_model(), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


def test_model_variants(tmp_path: Path) -> None:
    """The graph contains the input normalization and padding of models of other toolkits."""
    model = tiny_model()
    random = np.random.default_rng(0)
    variant = GeneratorVariant(
        slope=0.2,
        conv_padding="reflect",
        input_mean=tuple(random.normal(-4, 1, 80).tolist()),
        input_scale=tuple(random.uniform(1, 2, 80).tolist()),
        inference_padding=5,
    )
    generator = model.generator.model_copy(update={"variant": variant})
    exported = export_onnx(replace(model, generator=generator), tmp_path / "x.onnx")
    assert max(parity.max_difference for parity in exported.parity) < 1e-5
    graph = onnx.load(tmp_path / "x.onnx").graph
    assert {"Sub", "Div", "Pad", "Slice"} <= {node.op_type for node in graph.node}


def test_without_onnx_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the pip command."""
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    with pytest.raises(UsageError) as caught:
        export_onnx(tiny_model(), tmp_path / "tiny.onnx")
    assert caught.value.hint == "pip install 'hifigan-cli[onnx]'"


@pytest.mark.parametrize(
    ("name", "code", "fact"),
    [("tiny.bin", 2, ".onnx"), ("old.onnx", 4, "old.onnx"), ("folder.onnx", 4, "folder.onnx")],
)
def test_invalid_outputs(model: Path, tmp_path: Path, name: str, code: int, fact: str) -> None:
    """Another extension, an existing file and a folder are errors."""
    (tmp_path / "old.onnx").write_bytes(b"old")
    (tmp_path / "folder.onnx").mkdir()
    run = hifigan("export", model, "-o", tmp_path / name)
    assert run.returncode == code
    assert fact in run.stderr
    assert (tmp_path / "old.onnx").read_bytes() == b"old"


def test_unknown_model(tmp_path: Path) -> None:
    """A mistyped model name fails with exit code 5 and a suggestion."""
    run = hifigan("export", "universal-v2", "-o", tmp_path / "x.onnx")
    assert run.returncode == 5
    assert "universal-v1" in run.stderr
