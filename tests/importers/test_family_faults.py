"""What cannot be imported is refused, and what is missing, unknown or unusual is named."""

from __future__ import annotations

import copy
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hifigan_cli.config import MelConfig
from hifigan_cli.errors import ModelError
from hifigan_cli.importers import foreign_files
from hifigan_cli.importers.checkpoint import CheckpointFamily, ForeignCheckpoint
from hifigan_cli.importers.families import nemo
from hifigan_cli.importers.importing import _convert, _family, _folding_error, import_checkpoint
from hifigan_cli.importers.weights import rename
from tests.importers.foreign import CASES
from tests.importers.foreign.networks import SMALL, State, blocks_nested, normed

pytestmark = pytest.mark.usefixtures("in_process")

# How each family puts a weight of the generator into its file, to add one or to take one.
PLACES = {
    "nvidia": ("generator", "module.conv_post.bias"),
    "speechbrain": ("conv_post.conv.bias",),
    "parallel_wavegan": ("model", "generator", "output_conv.1.bias"),
    "espnet": ("tts.generator.vocoder.output_conv.1.bias",),
    "transformers pickled": ("conv_post.bias",),
    "coqui": ("model", "model_g.conv_post.bias"),
    "bshall": ("module.conv_post.bias",),
    "everyvoice": ("state_dict", "generator.conv_post.bias"),
}


def written(name: str, folder: Path, **options: Any) -> Path:
    case = CASES[name]
    state = normed(case.config, case.n_mels)
    return case.write(folder, state, **{**case.options, **options})


def change(path: Path, keys: Sequence[str], act: Callable[[dict[str, Any], str], None]) -> None:
    """Change the mapping that a weight is in."""
    content = torch.load(path, weights_only=True)
    place = content
    for key in keys[:-1]:
        place = place[key]
    act(place, keys[-1])
    torch.save(content, path)


@pytest.mark.parametrize("name", PLACES)
def test_a_missing_weight_is_named(tmp_path: Path, name: str) -> None:
    """A file without one of the network's weights says which."""
    path = written(name, tmp_path)
    change(path, PLACES[name], lambda place, key: place.pop(key))
    with pytest.raises(ModelError, match=r"conv_post\.bias.*lacks"):
        import_checkpoint(path)


@pytest.mark.parametrize("name", PLACES)
def test_an_unknown_weight_is_named(tmp_path: Path, name: str) -> None:
    """A weight beside the network's own would be lost, so it is an error that names it."""

    def add(place: dict[str, Any], key: str) -> None:
        place[key.replace("bias", "speaker_embedding.weight")] = torch.zeros(3)

    path = written(name, tmp_path)
    change(path, PLACES[name], add)
    with pytest.raises(ModelError, match="speaker_embedding"):
        import_checkpoint(path)


def test_many_unknown_weights_are_counted() -> None:
    """Five are named, and how many there are."""
    state: State = {f"other.{i}.weight": torch.zeros(1) for i in range(8)}
    with pytest.raises(ModelError, match=r"other\.0\.weight.* and 3 more"):
        rename(state)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nvidia", {"config": None}, "no config"),
        ("nvidia", {"config": {"resblock": "1", "more": 1}}, "more"),
        ("nvidia", {"train_setup": {"sampling_rate": 22050}}, "filter_length.*mel_fmax"),
        ("nemo", {"preemph": 0.97}, "preemph is 0.97"),
        ("nemo", {"normalize": "per_feature"}, "normalize"),
        ("nemo", {"exact_pad": False}, "exact_pad"),
        ("nemo", {"window": "hamming"}, "window"),
        ("nemo", {"_target_": "a.AudioToMelSpectrogramPreprocessor"}, "AudioToMel"),
        ("nemo", {"n_window_stride": 512}, "multiply to 256"),
        ("speechbrain", {"dynamic_range_compression": "False"}, "dynamic_range_compression"),
        ("speechbrain", {"    cond_channels": "8"}, "cond_channels"),
        ("speechbrain", {"padding": "!ref <padding>"}, "circles"),
        ("speechbrain", {"sample_rate": "fast"}, "sample_rate"),
        ("parallel_wavegan", {"use_causal_conv": True}, "use_causal_conv"),
        ("parallel_wavegan", {"nonlinear_activation": "PReLU"}, "nonlinear_activation"),
        ("parallel_wavegan", {"kernel_size": 9}, "kernel_size"),
        ("parallel_wavegan", {"out_channels": 4}, "out_channels"),
        ("parallel_wavegan", {"surprise": 1}, "surprise"),
        ("parallel_wavegan", {"kind": "none"}, "no statistics"),
        ("espnet", {"log_base": 2.0}, "base 2"),
        ("espnet", {"htk": True}, "htk"),
        ("transformers", {"model_type": "univnet"}, "univnet"),
        ("transformers", {"sampling_rate": 0}, "generator"),
        ("coqui", {"preemphasis": 0.97}, "preemphasis"),
        ("coqui", {"do_amp_to_db_mel": False}, "do_amp_to_db_mel"),
        ("coqui", {"stats_path": "x.npy"}, "no statistics"),
        ("coqui", {"min_level_db": 0}, "does not describe"),
        ("everyvoice", {"istft_layer": True}, "istft_layer"),
        ("everyvoice", {"activation_function": "torch.nn.functional.gelu"}, "gelu"),
        ("everyvoice", {"output_sampling_rate": 44100}, "another rate"),
        ("everyvoice", {"spec_type": "linear"}, "linear"),
    ],
)
def test_what_no_model_file_describes(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    """A setting that would change the samples, or the mel, is refused by name."""
    with pytest.raises(ModelError, match=message):
        import_checkpoint(written(name, tmp_path, **options))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("speechbrain", "hyperparams.yaml"),
        ("parallel_wavegan", "config.yml"),
        ("espnet", "config.yaml"),
        ("transformers", "config.json"),
        ("coqui", "config.json"),
    ],
)
def test_a_missing_configuration_is_named(tmp_path: Path, name: str, file: str) -> None:
    """A configuration that is a file of its own is named when it is missing; --config helps."""
    path = written(name, tmp_path)
    (tmp_path / file).rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=file) as caught:
        import_checkpoint(path)
    assert "--config" in (caught.value.hint or "")
    named = tmp_path / f"other{Path(file).suffix}"
    (tmp_path / "elsewhere").rename(named)
    assert import_checkpoint(path, named).family == CASES[name].family


@pytest.mark.parametrize("words", ["theirs", "official"])
def test_nvidias_configuration_may_be_named(tmp_path: Path, words: str) -> None:
    """Files from before the configuration was within take one beside them, in either's words."""
    path = written("nvidia", tmp_path)
    content = torch.load(path, weights_only=True)
    config, setup = content.pop("config"), content.pop("train_setup")
    torch.save(content, path)
    official = {"n_fft": 1024, "hop_size": 256, "win_size": 1024, "fmin": 0, "fmax": 8000}
    kept = {key: setup[key] for key in ("sampling_rate", "num_mels")}
    chosen = setup if words == "theirs" else kept | official
    (tmp_path / "named.json").write_text(json.dumps(config | chosen))
    found = import_checkpoint(path, tmp_path / "named.json")
    assert found.family == CASES["nvidia"].family
    assert found.model.mel == MelConfig()
    assert found.model.generator == SMALL


def test_statistics_may_be_named(tmp_path: Path) -> None:
    """--stats names statistics elsewhere; what has other names within is refused."""
    path = written("parallel_wavegan", tmp_path)
    (tmp_path / "stats.npy").rename(tmp_path / "of_the_corpus.npy")
    found = import_checkpoint(path, stats=tmp_path / "of_the_corpus.npy")
    assert len(found.model.generator.variant.input_mean) == 80
    np.savez(tmp_path / "other.npz", a=np.zeros(80))
    with pytest.raises(ModelError, match="no mean and scale"):
        import_checkpoint(path, stats=tmp_path / "other.npz")


def test_a_file_of_no_family(tmp_path: Path) -> None:
    """The error says what is in the file, and which families there are."""
    path = tmp_path / "x.pt"
    torch.save({"encoder.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"encoder\.weight") as caught:
        import_checkpoint(path)
    assert "SpeechBrain" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["coqui", "everyvoice"])
def test_averages_are_of_two_families(tmp_path: Path, name: str) -> None:
    """--ema where there is none is an error, not a model of other weights."""
    with pytest.raises(ModelError, match="no averaged weights"):
        import_checkpoint(written(name, tmp_path), average=True)


def test_nvidias_average(tmp_path: Path) -> None:
    """gen_ema is another set of weights under the same names."""
    average = blocks_nested(normed(SMALL, 80, 7), 2)
    path = written("nvidia", tmp_path, gen_ema=average)
    own, other = (import_checkpoint(path, average=ema).model for ema in (False, True))
    assert not np.array_equal(own.weights["conv_pre.weight"], other.weights["conv_pre.weight"])
    bias = average["conv_pre.bias"].numpy()
    assert np.array_equal(other.weights["conv_pre.bias"], bias)


def test_an_archive_without_its_members(tmp_path: Path) -> None:
    """A tar that is no NeMo model says what it lacks."""
    (tmp_path / "other").write_text("other")
    with tarfile.open(tmp_path / "x.nemo", "w") as archive:
        archive.add(tmp_path / "other", "other")
    with pytest.raises(ModelError, match=r"model_config\.yaml and no model_weights\.ckpt"):
        import_checkpoint(tmp_path / "x.nemo")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the places of all values within a configuration, inner ones too; but of weights."""
    items: Any = ()
    if isinstance(value, torch.Tensor):
        return []
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    inner = [place for key, each in items for place in leaves(each, (*path, key))]
    return [*inner, path] if path else inner


ODD: tuple[Any, ...] = (None, True, -1, 0, 3, 1e40, 2**70, "", "x", [], [[]], {}, {"a": 1}, "1e-5")


@pytest.mark.parametrize("name", ["nvidia", "nemo", "coqui old", "everyvoice", "transformers"])
def test_any_value_in_any_place(tmp_path: Path, name: str) -> None:
    """A configuration with anything in the place of anything is refused, or imported; no traceback.

    Drawn with a fixed seed: every place of the configuration is tried.
    """
    rng = np.random.default_rng(0)
    path = written(name, tmp_path)
    family, content = content_of(path)
    beside = tmp_path / "config.json" if name == "transformers" else None
    within = {key: value for key, value in content.items() if isinstance(value, dict)}
    described = json.loads(beside.read_text()) if beside else within
    places = leaves(described)
    refused = 0
    for place in places:
        changed = copy.deepcopy(described)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = ODD[rng.integers(len(ODD))]
        if beside:
            beside.write_text(json.dumps(changed))
        source = ForeignCheckpoint(path, content if beside else {**content, **changed})
        try:
            _folding_error(_convert(family, source), path)
        except ModelError:
            refused += 1
    assert len(places) / 3 < refused < len(places)


def content_of(path: Path) -> tuple[CheckpointFamily, dict[str, Any]]:
    """Read a file, and say whose it is."""
    archive = path.suffix == ".nemo"
    content = nemo.read_archive(path) if archive else foreign_files.load_tensors_only(path)
    return _family(path, content, None), content
