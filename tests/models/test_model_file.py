"""Model files are self-contained, and any change to one is detected."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from hifigan_cli.config import PRESETS, GeneratorConfig, MelConfig
from hifigan_cli.enhancement.config import EnhancerConfig
from hifigan_cli.enhancement.model_file import enhancer_shapes
from hifigan_cli.enhancement.network import Enhancer
from hifigan_cli.errors import ModelError, OutputError
from hifigan_cli.io import tensor_file
from hifigan_cli.io.tensor_file import (
    FORMAT,
    arrays_of,
    read_arrays,
    read_description,
    read_tensors,
    tensors_of,
    write_arrays,
    write_tensors,
)
from hifigan_cli.models import Generator, ModelFile, read_model, write_model
from hifigan_cli.models.shapes import generator_shapes
from tests.importers.test_untrusted import MaliciousPickle

MEL = MelConfig(n_fft=64, win_length=64, hop_length=8, n_mels=5)
TINY = GeneratorConfig(
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    upsample_initial_channel=4,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
)
PROVENANCE = {"name": "tiny", "steps": 3, "license": "MIT", "source": "žluť"}


def tiny(seed: int = 0) -> ModelFile:
    torch.manual_seed(seed)
    weights = Generator(TINY, MEL.n_mels, weight_norm=False).state_dict()
    others = {"mpd.conv.weight": torch.randn(2, 3), "msd.n": torch.tensor(7)}
    return ModelFile(MEL, TINY, arrays_of(weights), arrays_of(others), PROVENANCE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_model(path, tiny())
    return path


def read_error(path: Path) -> ModelError:
    with pytest.raises(ModelError) as error:
        read_model(path)
    assert error.value.exit_code == 5
    return error.value


def test_round_trip(path: Path) -> None:
    """Architecture, mel, weights, discriminators, provenance and output do not change."""
    written, read = tiny(), read_model(path)
    assert (read.mel, read.generator, read.provenance) == (MEL, TINY, PROVENANCE)
    for actual, expected in (
        (read.weights, written.weights),
        (read.discriminators, written.discriminators),
    ):
        assert actual.keys() == expected.keys()
        assert all(np.array_equal(actual[key], expected[key]) for key in actual)
    mel = torch.randn(1, 5, 6)
    with torch.no_grad():
        net = Generator(TINY, 5, weight_norm=False)
        net.load_state_dict(tensors_of(written.weights))
        assert torch.equal(read.build()(mel), net(mel))


def test_networks_share_no_memory(path: Path) -> None:
    """Changing a network changes neither the model file object nor another network."""
    model = read_model(path)
    first, second = model.build(), model.build()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert any(parameter.abs().sum() > 0 for parameter in second.parameters())
    assert any(np.abs(weight).sum() > 0 for weight in model.weights.values())


def test_digest_depends_on_the_content(tmp_path: Path, path: Path) -> None:
    """Equal content has equal bytes and an equal digest, other content has another digest."""
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    digests = [write_model(same, tiny()), write_model(other, tiny(seed=1))]
    assert same.read_bytes() == path.read_bytes()
    assert read_model(path).digest == digests[0] != digests[1] == read_model(other).digest
    assert read_description(path)["digest"] == digests[0]


def test_flipped_bits_are_detected(path: Path) -> None:
    """Flip 90 bits in length, header and body (row 32); other loaders detect almost none."""
    content = path.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    generator = torch.Generator().manual_seed(0)
    in_body = [int(i) for i in torch.randint(header, len(content), (40,), generator=generator)]
    in_header = [int(i) for i in torch.randint(8, header, (42,), generator=generator)]
    for offset in [*range(8), *in_header, *in_body]:
        flipped = bytearray(content)
        flipped[offset] ^= 1 << offset % 8
        path.write_bytes(flipped)
        read_error(path)
    path.write_bytes(content)
    assert read_model(path).weights


@pytest.mark.parametrize("end", [0, 1, 7, 8, 100, -1, -500])
def test_truncated_files_are_detected(path: Path, end: int) -> None:
    """A file can be truncated at any place (row 31)."""
    path.write_bytes(path.read_bytes()[:end])
    read_error(path)


def test_appended_bytes_are_detected(path: Path) -> None:
    """A longer file is an error."""
    path.write_bytes(path.read_bytes() + b"\0" * 16)
    read_error(path)


def test_other_files_are_errors(tmp_path: Path) -> None:
    """The hint contains the command that imports a model."""
    plain, text, kind = (tmp_path / name for name in ("plain.safetensors", "text", "kind"))
    safetensors.torch.save_file({"a": torch.zeros(2)}, plain)
    error = read_error(plain)
    assert "plain.safetensors" in error.message
    assert "hifigan import" in (error.hint or "")
    text.write_text("no model", "utf-8")
    assert str(text) in read_error(text).message
    write_tensors(kind, {"a": torch.zeros(2)}, {"kind": "checkpoint"})
    error = read_error(kind)
    assert "checkpoint" in error.message
    assert "model.safetensors" in (error.hint or "")
    for path in (tmp_path / "missing", tmp_path):
        assert str(path) in read_error(path).message


def test_later_format_asks_for_an_upgrade(path: Path) -> None:
    """Files of later versions are errors."""
    tensors = safetensors.torch.load_file(path)
    content = {**read_description(path), "format": FORMAT + 1}
    safetensors.torch.save_file(tensors, path, {"hifigan": json.dumps(content)})
    assert "upgrade" in (read_error(path).hint or "")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    """A pickle, bare or in a torch file, is an error, and its code does not run (row 33)."""
    bare, wrapped = tmp_path / "bare.pt", tmp_path / "wrapped.pt"
    bare.write_bytes(pickle.dumps(MaliciousPickle(tmp_path / "exploded")))
    torch.save({"generator": MaliciousPickle(tmp_path / "exploded")}, wrapped)
    for path in (bare, wrapped):
        assert "hifigan import" in (read_error(path).hint or "")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ("missing", ("conv_post.bias",)),
        ("unknown", ("zzz",)),
        ("shape", ("conv_pre.weight", "(4, 5, 7)", "(4, 6, 7)")),
    ],
)
def test_weights_of_another_architecture(change: str, facts: tuple[str, ...]) -> None:
    """The error names the first key that differs (row 34)."""
    model = tiny()
    if change == "missing":
        del model.weights["conv_post.bias"]
    elif change == "unknown":
        model.weights["zzz"] = np.zeros(1, np.float32)
    else:
        model.weights["conv_pre.weight"] = np.zeros((4, 6, 7), np.float32)
    with pytest.raises(ModelError) as error:
        model.build()
    assert all(fact in error.value.message for fact in facts)


def test_huge_architecture_allocates_no_memory(tmp_path: Path) -> None:
    """A file that describes a network of terabytes is an error before the network is built."""
    huge = TINY.model_copy(update={"upsample_initial_channel": 2**20})
    path = tmp_path / "huge.safetensors"
    write_model(path, ModelFile(MEL, huge, tiny().weights))
    with pytest.raises(ModelError, match="conv_post"):
        read_model(path).build()


def test_invalid_architecture_is_an_error(tmp_path: Path) -> None:
    """The digest is valid, but the configuration is inconsistent or missing."""
    path = tmp_path / "bad.safetensors"
    write_model(path, ModelFile(MEL.model_copy(update={"hop_length": 16}), TINY, tiny().weights))
    assert "bad.safetensors" in read_error(path).message
    write_arrays(path, tiny().weights, {"kind": "vocoder", "provenance": {}})
    assert "bad.safetensors" in read_error(path).message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_work(tmp_path: Path, dtype: torch.dtype) -> None:
    """The network computes in float32, with the values of the file."""
    model = tiny()
    weights = {key: value.to(dtype) for key, value in tensors_of(model.weights).items()}
    path = tmp_path / "half.safetensors"
    write_model(tmp_path / "float32.safetensors", model)
    description = read_description(tmp_path / "float32.safetensors")
    del description["digest"]
    write_tensors(path, {f"generator.{key}": value for key, value in weights.items()}, description)
    net = read_model(path).build()
    assert net(torch.randn(1, 5, 4)).dtype == torch.float32
    assert all(torch.equal(v, weights[key].float()) for key, v in net.state_dict().items())


def test_arrays_and_tensors_have_one_format(tmp_path: Path) -> None:
    """Files written from arrays and from tensors have the same bytes and digest."""
    tensors = {"a": torch.randn(2, 3), "n": torch.tensor(3), "flags": torch.tensor([True, False])}
    as_tensors, as_arrays = tmp_path / "tensors", tmp_path / "arrays"
    digests = [
        write_tensors(as_tensors, tensors, {"kind": "test"}),
        write_arrays(as_arrays, arrays_of(tensors), {"kind": "test"}),
    ]
    assert digests[0] == digests[1]
    assert as_tensors.read_bytes() == as_arrays.read_bytes()
    arrays = read_arrays(as_tensors)[0]
    assert all(np.array_equal(arrays[key], tensors[key].numpy()) for key in tensors)
    assert all(arrays[key].dtype == tensors[key].numpy().dtype for key in tensors)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (1, "33835f40830fecf6383fcddca6865faf4c67667544366c237773cd6fa26ceaf9"),
        (2, "5e66e9ae5cc7056f908e50d4d44083e1ed31a3989289fb59b25eb887a2c62665"),
    ],
)
def test_digest_does_not_change_between_versions(
    version: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest does not change between versions, so that old files can be read."""
    monkeypatch.setattr(tensor_file, "FORMAT", version)
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    assert write_tensors(tmp_path / "old", tensors, {"kind": "test"}) == expected
    assert read_tensors(tmp_path / "old")[0].keys() == tensors.keys()


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "tiny"])
def test_generator_shapes_equal_the_network(name: str) -> None:
    """Engines without torch use these shapes."""
    config = TINY if name == "tiny" else PRESETS[name].generator
    with torch.device("meta"):
        net = Generator(config, 7, weight_norm=False)
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert generator_shapes(config, 7) == expected


@pytest.mark.parametrize("n_mels", [80, 41])
def test_enhancer_shapes_equal_the_network(n_mels: int) -> None:
    """The shapes are equal for an even and an odd number of bands."""
    for config in (EnhancerConfig(), EnhancerConfig(channels=6, dilations=(1, 3), expansion=3)):
        state = Enhancer(config, n_mels).state_dict()
        expected = {key: tuple(value.shape) for key, value in state.items()}
        assert enhancer_shapes(config, n_mels) == expected


def test_round_trip_of_any_tensor(tmp_path: Path) -> None:
    """Checkpoints also contain scalars, and empty, boolean and transposed tensors."""
    tensors = {
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    path = tmp_path / "state"
    write_tensors(path, tensors, {"kind": "test", "nested": {"a": [1, None, "b"]}})
    read, description = read_tensors(path)
    assert description["nested"] == {"a": [1, None, "b"]}
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], tensors[key]) for key in tensors)
    assert all(read[key].dtype == tensors[key].dtype for key in tensors)


def test_write_errors_leave_no_files(tmp_path: Path) -> None:
    """A path that cannot be written is an `OutputError`; the old file does not change."""
    old = tmp_path / "old.safetensors"
    write_model(old, tiny())
    with pytest.raises(OutputError, match=r"old\.safetensors"):
        write_model(old / "model.safetensors", tiny())
    before = old.read_bytes()
    with pytest.raises(TypeError):
        write_tensors(old, {"a": torch.zeros(1)}, {"not": object()})
    assert old.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.safetensors"]
