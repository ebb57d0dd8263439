"""A model file describes itself, and any change to it is noticed."""

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
from hifigan_cli.io.tensor_file import (
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
from tests.importers.test_untrusted import Bomb

MEL = MelConfig(n_fft=64, win_length=64, hop_length=8, n_mels=5)
TINY = GeneratorConfig(
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    upsample_initial_channel=4,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
)
PROVENANCE = {"name": "tiny", "steps": 3, "licence": "MIT", "source": "žluť"}


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


def refusal(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert caught.value.exit_code == 5
    return caught.value


def test_everything_comes_back(path: Path) -> None:
    """Guard the round trip: architecture, mel, weights, discriminators, provenance, function."""
    written, read = tiny(), read_model(path)
    assert (read.mel, read.generator, read.provenance) == (MEL, TINY, PROVENANCE)
    for ours, theirs in (
        (read.weights, written.weights),
        (read.discriminators, written.discriminators),
    ):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
    mel = torch.randn(1, 5, 6)
    with torch.no_grad():
        expected = Generator(TINY, 5, weight_norm=False)
        expected.load_state_dict(tensors_of(written.weights))
        assert torch.equal(read.build()(mel), expected(mel))


def test_a_built_network_is_its_own(path: Path) -> None:
    """Guard that a network shares no memory with the file it was built from."""
    model = read_model(path)
    first, second = model.build(), model.build()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert any(parameter.abs().sum() > 0 for parameter in second.parameters())
    assert any(np.abs(weight).sum() > 0 for weight in model.weights.values())


def test_the_digest_seals_the_content(tmp_path: Path, path: Path) -> None:
    """Guard that equal content has equal bytes and digest, and other content another."""
    again, other = tmp_path / "again.safetensors", tmp_path / "other.safetensors"
    digests = [write_model(again, tiny()), write_model(other, tiny(seed=1))]
    assert again.read_bytes() == path.read_bytes()
    assert read_model(path).digest == digests[0] != digests[1] == read_model(other).digest
    assert read_description(path)["digest"] == digests[0]


def test_any_flipped_bit_is_found(path: Path) -> None:
    """Guard row 32: 90 places over length, header and body; loaders notice almost none."""
    content = path.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    generator = torch.Generator().manual_seed(0)
    spread = [int(i) for i in torch.randint(header, len(content), (40,), generator=generator)]
    within = [int(i) for i in torch.randint(8, header, (42,), generator=generator)]
    for place in [*range(8), *within, *spread]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        refusal(path)
    path.write_bytes(content)
    assert read_model(path).weights


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -1, -500])
def test_a_cut_file_is_found(path: Path, kept: int) -> None:
    """Guard row 31: truncated anywhere."""
    path.write_bytes(path.read_bytes()[:kept])
    refusal(path)


def test_longer_files_are_found(path: Path) -> None:
    """Guard against bytes that were added."""
    path.write_bytes(path.read_bytes() + b"\0" * 16)
    refusal(path)


def test_other_files_are_named_for_what_they_lack(tmp_path: Path) -> None:
    """Guard the messages for what is no model: with the command that makes one of it."""
    plain, text, kind = (tmp_path / name for name in ("plain.safetensors", "text", "kind"))
    safetensors.torch.save_file({"a": torch.zeros(2)}, plain)
    error = refusal(plain)
    assert "without hifigan's description" in error.message
    assert "hifigan import" in (error.hint or "")
    text.write_text("no model", "utf-8")
    assert "not a model file" in refusal(text).message
    write_tensors(kind, {"a": torch.zeros(2)}, {"kind": "checkpoint"})
    error = refusal(kind)
    assert "is a checkpoint, not a vocoder model" in error.message
    assert "model.safetensors" in (error.hint or "")
    assert "No such file" in refusal(tmp_path / "absent").message
    assert "is a folder" in refusal(tmp_path).message


def test_a_later_format_asks_for_an_upgrade(path: Path) -> None:
    """Guard files of later versions."""
    tensors = safetensors.torch.load_file(path)
    content = {**read_description(path), "format": 2}
    safetensors.torch.save_file(tensors, path, {"hifigan": json.dumps(content)})
    assert "upgrade" in (refusal(path).hint or "")


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    """Guard row 33: a pickle in any wrapping is refused, and nothing in it runs."""
    bare, wrapped = tmp_path / "bare.pt", tmp_path / "wrapped.pt"
    bare.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    torch.save({"generator": Bomb(tmp_path / "exploded")}, wrapped)
    for path in (bare, wrapped):
        assert "hifigan import" in (refusal(path).hint or "")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("missing", "needs the weight conv_post.bias, the file lacks it"),
        ("unknown", "the file has the weight zzz, the architecture does not"),
        ("shape", "weight conv_pre.weight: the architecture needs the shape (4, 5, 7)"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: str, said: str) -> None:
    """Guard row 34: the first key that differs."""
    model = tiny()
    if change == "missing":
        del model.weights["conv_post.bias"]
    elif change == "unknown":
        model.weights["zzz"] = np.zeros(1, np.float32)
    else:
        model.weights["conv_pre.weight"] = np.zeros((4, 6, 7), np.float32)
    with pytest.raises(ModelError) as caught:
        model.build()
    assert said in caught.value.message


def test_an_absurd_architecture_costs_nothing(tmp_path: Path) -> None:
    """Guard against a file that claims a network of terabytes: refused before it is made."""
    huge = TINY.model_copy(update={"upsample_initial_channel": 2**20})
    path = tmp_path / "huge.safetensors"
    write_model(path, ModelFile(MEL, huge, tiny().weights))
    with pytest.raises(ModelError, match="conv_post"):
        read_model(path).build()


def test_an_impossible_architecture_is_refused(tmp_path: Path) -> None:
    """Guard values that do not fit together, in a file whose digest is right."""
    path = tmp_path / "bad.safetensors"
    write_model(path, ModelFile(MEL.model_copy(update={"hop_length": 16}), TINY, tiny().weights))
    assert "impossible model" in refusal(path).message
    write_arrays(path, tiny().weights, {"kind": "vocoder", "provenance": {}})
    assert "impossible model" in refusal(path).message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_work(tmp_path: Path, dtype: torch.dtype) -> None:
    """Guard files of half size: the network computes in float32, with the values of the file."""
    model = tiny()
    weights = {key: value.to(dtype) for key, value in tensors_of(model.weights).items()}
    path = tmp_path / "half.safetensors"
    write_model(tmp_path / "whole.safetensors", model)
    description = read_description(tmp_path / "whole.safetensors")
    del description["digest"]
    write_tensors(path, {f"generator.{key}": value for key, value in weights.items()}, description)
    net = read_model(path).build()
    assert net(torch.randn(1, 5, 4)).dtype == torch.float32
    assert all(torch.equal(v, weights[key].float()) for key, v in net.state_dict().items())


def test_arrays_and_tensors_are_one_format(tmp_path: Path) -> None:
    """Guard the light reader: what either writes, both read; bytes and digest are the same."""
    tensors = {"a": torch.randn(2, 3), "n": torch.tensor(3), "flags": torch.tensor([True, False])}
    as_tensors, as_arrays = tmp_path / "tensors", tmp_path / "arrays"
    digests = [
        write_tensors(as_tensors, tensors, {"kind": "test"}),
        write_arrays(as_arrays, arrays_of(tensors), {"kind": "test"}),
    ]
    assert digests[0] == digests[1]
    assert as_tensors.read_bytes() == as_arrays.read_bytes()
    found = read_arrays(as_tensors)[0]
    assert all(np.array_equal(found[key], tensors[key].numpy()) for key in tensors)
    assert all(found[key].dtype == tensors[key].numpy().dtype for key in tensors)


def test_the_digest_is_that_of_the_first_versions(tmp_path: Path) -> None:
    """Guard old files: the text that is sealed may never change."""
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    digest = write_tensors(tmp_path / "old", tensors, {"kind": "test"})
    assert digest == "33835f40830fecf6383fcddca6865faf4c67667544366c237773cd6fa26ceaf9"


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "tiny"])
def test_shapes_are_those_of_the_network(name: str) -> None:
    """Guard the engines without torch: the weights they expect are those that networks have."""
    config = TINY if name == "tiny" else PRESETS[name].generator
    with torch.device("meta"):
        net = Generator(config, 7, weight_norm=False)
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert generator_shapes(config, 7) == expected


@pytest.mark.parametrize("n_mels", [80, 41])
def test_shapes_of_the_enhancer(n_mels: int) -> None:
    """Guard the same for the enhancer, with an odd number of bands too."""
    for config in (EnhancerConfig(), EnhancerConfig(channels=6, dilations=(1, 3), expansion=3)):
        state = Enhancer(config, n_mels).state_dict()
        expected = {key: tuple(value.shape) for key, value in state.items()}
        assert enhancer_shapes(config, n_mels) == expected


def test_tensors_of_any_kind_are_sealed(tmp_path: Path) -> None:
    """Guard checkpoints, which hold more than weights: scalars, empty, boolean, transposed."""
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


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    """Guard saving: an error of ours, not of the library, and nothing left behind."""
    old = tmp_path / "old.safetensors"
    write_model(old, tiny())
    with pytest.raises(OutputError, match="cannot make the folder"):
        write_model(old / "model.safetensors", tiny())
    before = old.read_bytes()
    with pytest.raises(TypeError):
        write_tensors(old, {"a": torch.zeros(1)}, {"not": object()})
    assert old.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.safetensors"]
