"""Checkpoints that cannot be imported are rejected, and the error names the reason."""

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
from hifigan_cli.importers.importing import (
    _convert,
    _find_family,
    _folding_error,
    import_checkpoint,
)
from hifigan_cli.importers.weights import rename_weights
from tests.importers.foreign import CASES
from tests.importers.foreign.networks import SMALL, StateDict, nest_blocks, weight_normed_state

pytestmark = pytest.mark.usefixtures("in_process")

# The keys of one generator weight in each family's checkpoint, to add or remove a weight.
WEIGHT_KEYS = {
    "nvidia": ("generator", "module.conv_post.bias"),
    "speechbrain": ("conv_post.conv.bias",),
    "parallel_wavegan": ("model", "generator", "output_conv.1.bias"),
    "espnet": ("tts.generator.vocoder.output_conv.1.bias",),
    "transformers pickled": ("conv_post.bias",),
    "coqui": ("model", "model_g.conv_post.bias"),
    "bshall": ("module.conv_post.bias",),
    "everyvoice": ("state_dict", "generator.conv_post.bias"),
}


def write_case(name: str, folder: Path, **options: Any) -> Path:
    case = CASES[name]
    state = weight_normed_state(case.config, case.n_mels)
    return case.write(folder, state, **{**case.options, **options})


def change(path: Path, keys: Sequence[str], act: Callable[[dict[str, Any], str], None]) -> None:
    """Change the mapping that contains a weight."""
    content = torch.load(path, weights_only=True)
    mapping = content
    for key in keys[:-1]:
        mapping = mapping[key]
    act(mapping, keys[-1])
    torch.save(content, path)


@pytest.mark.parametrize("name", WEIGHT_KEYS)
def test_missing_weight_is_an_error(tmp_path: Path, name: str) -> None:
    """The error names the weight."""
    path = write_case(name, tmp_path)
    change(path, WEIGHT_KEYS[name], lambda mapping, key: mapping.pop(key))
    with pytest.raises(ModelError, match=r"conv_post\.bias"):
        import_checkpoint(path)


@pytest.mark.parametrize("name", WEIGHT_KEYS)
def test_unknown_weight_is_an_error(tmp_path: Path, name: str) -> None:
    """An unknown weight would be lost, so the error names it."""

    def add(mapping: dict[str, Any], key: str) -> None:
        mapping[key.replace("bias", "speaker_embedding.weight")] = torch.zeros(3)

    path = write_case(name, tmp_path)
    change(path, WEIGHT_KEYS[name], add)
    with pytest.raises(ModelError, match="speaker_embedding"):
        import_checkpoint(path)


def test_many_unknown_weights_are_counted() -> None:
    """The error names five weights and counts the others."""
    state: StateDict = {f"other.{i}.weight": torch.zeros(1) for i in range(8)}
    with pytest.raises(ModelError, match=r"other\.0\.weight.*other\.4\.weight.* 3 "):
        rename_weights(state)


@pytest.mark.parametrize(
    ("name", "options", "fact"),
    [
        ("nvidia", {"config": None}, "config"),
        ("nvidia", {"config": {"resblock": "1", "more": 1}}, "more"),
        ("nvidia", {"train_setup": {"sampling_rate": 22050}}, "filter_length.*mel_fmax"),
        ("nemo", {"preemph": 0.97}, r"preemph.*0\.97"),
        ("nemo", {"normalize": "per_feature"}, "normalize"),
        ("nemo", {"exact_pad": False}, "exact_pad"),
        ("nemo", {"window": "hamming"}, "window"),
        ("nemo", {"_target_": "a.AudioToMelSpectrogramPreprocessor"}, "AudioToMel"),
        ("nemo", {"n_window_stride": 512}, "256.*512|512.*256"),
        ("speechbrain", {"dynamic_range_compression": "False"}, "dynamic_range_compression"),
        ("speechbrain", {"    cond_channels": "8"}, "cond_channels"),
        ("speechbrain", {"padding": "!ref <padding>"}, "!ref"),
        ("speechbrain", {"sample_rate": "fast"}, "sample_rate"),
        ("parallel_wavegan", {"use_causal_conv": True}, "use_causal_conv"),
        ("parallel_wavegan", {"nonlinear_activation": "PReLU"}, "nonlinear_activation"),
        ("parallel_wavegan", {"kernel_size": 9}, "kernel_size"),
        ("parallel_wavegan", {"out_channels": 4}, "out_channels"),
        ("parallel_wavegan", {"surprise": 1}, "surprise"),
        ("parallel_wavegan", {"kind": "none"}, r"stats\.h5"),
        ("espnet", {"log_base": 2.0}, r"log_base.*2\.0"),
        ("espnet", {"htk": True}, "htk"),
        ("transformers", {"model_type": "univnet"}, "univnet"),
        ("transformers", {"sampling_rate": 0}, r"config\.json"),
        ("coqui", {"preemphasis": 0.97}, "preemphasis"),
        ("coqui", {"do_amp_to_db_mel": False}, "do_amp_to_db_mel"),
        ("coqui", {"stats_path": "x.npy"}, r"scale_stats\.npy"),
        ("coqui", {"min_level_db": 0}, r"config\.json: audio"),
        ("everyvoice", {"istft_layer": True}, "istft_layer"),
        ("everyvoice", {"activation_function": "torch.nn.functional.gelu"}, "gelu"),
        ("everyvoice", {"output_sampling_rate": 44100}, "output_sampling_rate"),
        ("everyvoice", {"spec_type": "linear"}, "linear"),
    ],
)
def test_unsupported_setting_is_an_error(
    tmp_path: Path, name: str, options: dict[str, Any], fact: str
) -> None:
    """The error names a setting that would change the samples or the mel."""
    with pytest.raises(ModelError, match=fact):
        import_checkpoint(write_case(name, tmp_path, **options))


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
def test_missing_configuration_is_an_error(tmp_path: Path, name: str, file: str) -> None:
    """The error names the file, and `--config` can name another one."""
    path = write_case(name, tmp_path)
    (tmp_path / file).rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=file) as caught:
        import_checkpoint(path)
    assert "--config" in (caught.value.hint or "")
    named = tmp_path / f"other{Path(file).suffix}"
    (tmp_path / "elsewhere").rename(named)
    assert import_checkpoint(path, named).family == CASES[name].family


@pytest.mark.parametrize("keys", ["nvidia", "official"])
def test_nvidia_configuration_as_a_separate_file(tmp_path: Path, keys: str) -> None:
    """Old checkpoints without a configuration take a file with NVIDIA's or the official keys."""
    path = write_case("nvidia", tmp_path)
    content = torch.load(path, weights_only=True)
    config, setup = content.pop("config"), content.pop("train_setup")
    torch.save(content, path)
    official = {"n_fft": 1024, "hop_size": 256, "win_size": 1024, "fmin": 0, "fmax": 8000}
    common = {key: setup[key] for key in ("sampling_rate", "num_mels")}
    mel = setup if keys == "nvidia" else common | official
    (tmp_path / "named.json").write_text(json.dumps(config | mel))
    result = import_checkpoint(path, tmp_path / "named.json")
    assert result.family == CASES["nvidia"].family
    assert result.model.mel == MelConfig()
    assert result.model.generator == SMALL


def test_statistics_as_a_named_file(tmp_path: Path) -> None:
    """`stats` names a file elsewhere; a file without `mean` and `scale` is an error."""
    path = write_case("parallel_wavegan", tmp_path)
    (tmp_path / "stats.npy").rename(tmp_path / "corpus.npy")
    result = import_checkpoint(path, stats=tmp_path / "corpus.npy")
    assert len(result.model.generator.variant.input_mean) == 80
    np.savez(tmp_path / "other.npz", a=np.zeros(80))
    with pytest.raises(ModelError, match=r"other\.npz.*mean.*scale"):
        import_checkpoint(path, stats=tmp_path / "other.npz")


def test_unknown_family_is_an_error(tmp_path: Path) -> None:
    """The error names keys of the file, and the hint names the known families."""
    path = tmp_path / "x.pt"
    torch.save({"encoder.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"encoder\.weight") as caught:
        import_checkpoint(path)
    assert "SpeechBrain" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["coqui", "everyvoice"])
def test_ema_without_averaged_weights_is_an_error(tmp_path: Path, name: str) -> None:
    """The other weights are not imported instead."""
    with pytest.raises(ModelError, match=CASES[name].family):
        import_checkpoint(write_case(name, tmp_path), ema=True)


def test_nvidia_averaged_weights(tmp_path: Path) -> None:
    """`gen_ema` is another set of weights under the same names."""
    gen_ema = nest_blocks(weight_normed_state(SMALL, 80, 7), 2)
    path = write_case("nvidia", tmp_path, gen_ema=gen_ema)
    raw, averaged = (import_checkpoint(path, ema=ema).model for ema in (False, True))
    assert not np.array_equal(raw.weights["conv_pre.weight"], averaged.weights["conv_pre.weight"])
    bias = gen_ema["conv_pre.bias"].numpy()
    assert np.array_equal(averaged.weights["conv_pre.bias"], bias)


def test_archive_without_nemo_members(tmp_path: Path) -> None:
    """The error names the missing members of a tar that is not a NeMo model."""
    (tmp_path / "other").write_text("other")
    with tarfile.open(tmp_path / "x.nemo", "w") as archive:
        archive.add(tmp_path / "other", "other")
    with pytest.raises(ModelError, match=r"model_config\.yaml.*model_weights\.ckpt"):
        import_checkpoint(tmp_path / "x.nemo")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the key paths of all values in a configuration, including inner ones, except tensors."""
    items: Any = ()
    if isinstance(value, torch.Tensor):
        return []
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    inner = [leaf for key, item in items for leaf in leaves(item, (*path, key))]
    return [*inner, path] if path else inner


WRONG_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    3,
    1e40,
    2**70,
    "",
    "x",
    [],
    [[]],
    {},
    {"a": 1},
    "1e-5",
)


@pytest.mark.parametrize("name", ["nvidia", "nemo", "coqui old", "everyvoice", "transformers"])
def test_wrong_value_is_a_model_error(tmp_path: Path, name: str) -> None:
    """A configuration with one wrong value is imported or raises a ModelError, nothing else.

    Every value is replaced once; the seed of the replacements is fixed.
    """
    rng = np.random.default_rng(0)
    path = write_case(name, tmp_path)
    family, content = load_with_family(path)
    config_file = tmp_path / "config.json" if name == "transformers" else None
    embedded = {key: value for key, value in content.items() if isinstance(value, dict)}
    config = json.loads(config_file.read_text()) if config_file else embedded
    paths = leaves(config)
    errors = 0
    for keys in paths:
        changed = copy.deepcopy(config)
        inner = changed
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = WRONG_VALUES[rng.integers(len(WRONG_VALUES))]
        if config_file:
            config_file.write_text(json.dumps(changed))
        source = ForeignCheckpoint(path, content if config_file else {**content, **changed})
        try:
            _folding_error(_convert(family, source), path)
        except ModelError:
            errors += 1
    assert len(paths) / 3 < errors < len(paths)


def load_with_family(path: Path) -> tuple[CheckpointFamily, dict[str, Any]]:
    """Read a checkpoint; return its family and content."""
    archive = path.suffix == ".nemo"
    content = nemo.read_archive(path) if archive else foreign_files.load_tensors_only(path)
    return _find_family(path, content, None), content
