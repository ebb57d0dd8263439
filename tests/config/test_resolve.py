"""Layers override each other in order, record their names, and errors name key and layer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config import Config, GeneratorConfig, MelConfig, TrainConfig, preset, resolve
from hifigan_cli.config.files import to_toml
from hifigan_cli.config.resolve import KEYS
from hifigan_cli.errors import UsageError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Write a file with a preset and one value."""
    path = tmp_path / "run.toml"
    path.write_text('preset = "v2"\n[train]\nbatch_size = 2\n', "utf-8")
    return path


def test_order_of_the_layers(toml: Path) -> None:
    """option > --set > variable > file > default."""
    env = {"HIFIGAN_BATCH_SIZE": "3"}
    layers = [
        (resolve(), 16, "default"),
        (resolve(file=toml), 2, str(toml)),
        (resolve(file=toml, environment=env), 3, "HIFIGAN_BATCH_SIZE"),
        (resolve(file=toml, environment=env, sets=["batch_size=4"]), 4, "--set"),
        (
            resolve(None, toml, env, ["batch_size=4"], {"batch_size": 5}),
            5,
            "--batch-size",
        ),
    ]
    for resolved, value, source in layers:
        assert resolved.config.train.batch_size == value
        assert resolved.sources["train.batch_size"] == source


def test_unused_options_change_nothing() -> None:
    """None means that an option is not used."""
    assert resolve(options={"steps": None}) == resolve()


def test_preset_values_name_the_preset(toml: Path) -> None:
    """Preset values name their preset, and --preset overrides the preset of the file."""
    resolved = resolve(file=toml)
    assert resolved.config.generator == preset("v2").generator
    assert resolved.sources["generator.upsample_initial_channel"] == "preset v2"
    assert resolved.sources["generator.upsample_rates"] == "default"
    assert resolve("v3", toml).config.generator == preset("v3").generator


def test_every_key_has_a_source_and_belongs_to_one_section() -> None:
    """A key without its section is unambiguous, and every value has a source."""
    sections = (MelConfig, GeneratorConfig, TrainConfig)
    unset = {"convention", "variant"}  # of models of other tools; no settings
    assert len(KEYS) == sum(len(section.model_fields.keys() - unset) for section in sections)
    assert set(resolve().sources) == set(KEYS.values())


def test_other_environment_variables_are_ignored() -> None:
    """HIFIGAN_MODEL and other variables do not belong to the configuration."""
    env = {"HIFIGAN_MODEL": "x", "HIFIGAN_DEBUG": "1", "BATCH_SIZE": "3"}
    env |= {"HIFIGAN_PRECISION": "int16"}  # of synthesis, where training has no such precision
    assert resolve(environment=env) == resolve()


def test_set_accepts_toml_values_and_unquoted_strings() -> None:
    """--set accepts lists, floats, words and section.key."""
    sets = [
        "generator.upsample_rates=[8, 8, 4]",
        "upsample_kernel_sizes = [16, 16, 8]",
        "learning_rate=1e-4",
        "precision=bf16",
    ]
    config = resolve(sets=sets).config
    assert config.generator.upsample_rates == (8, 8, 4)
    assert (config.train.learning_rate, config.train.precision) == (1e-4, "bf16")


@pytest.mark.parametrize(
    ("item", "facts", "hinted"),
    [
        ("batch_sise=3", "batch_sise | --set", "batch_size?"),
        ("train.batchsize=3", "train.batchsize", "train.batch_size?"),
        ("upsample_rate=[8]", "upsample_rate", "upsample_rates?"),
        ("zzzz=1", "zzzz", "--resolved"),
        ("batch_size", "--set | batch_size", "KEY=VALUE"),
        ("batch_size=", "train.batch_size | ''", ""),
        ("batch_size=many", "train.batch_size | 'many'", ""),
        ("steps=1.5", "train.steps | 1.5 | --set", ""),
        ("steps=true", "train.steps | True", ""),
        ("resblock=[1]", "generator.resblock | [1]", ""),
        ("hop_length=-256", "mel.hop_length | -256", ""),
        ("hop_length=300", "upsample_rates | 256 (8 x 8 x 2 x 2) | hop_length is 300", ""),
        ("upsample_rates=[8,8,4,2]", "512 (8 x 8 x 4 x 2) | hop_length is 256", ""),
    ],
)
def test_errors_name_key_value_and_layer(item: str, facts: str, hinted: str) -> None:
    """The message names the key, the value and its layer; the hint names the nearest known key."""
    with pytest.raises(UsageError) as caught:
        resolve(sets=[item])
    assert all(fact in caught.value.message for fact in facts.split(" | "))
    assert hinted in (caught.value.hint or "")
    assert "pydantic" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("[train]\nbatch_sise = 3\n", "train.batch_sise"),
        ("mel = 3\n", "'mel'"),
        ("[trian]\nseed = 3\n", "trian.seed"),
        ('preset = "v9"\n', "v9"),
        ("seed = \n", "TOML"),
        ("[train]\nseed = -1\n", "train.seed"),
    ],
)
def test_errors_in_a_file_name_the_file(tmp_path: Path, text: str, fact: str) -> None:
    """Unknown keys, presets and invalid values of a file are reported with its path."""
    path = tmp_path / "bad.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        resolve(file=path)
    assert fact in caught.value.message
    assert fact == "v9" or str(path) in caught.value.message


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_unreadable_files_are_usage_errors(tmp_path: Path, content: bytes | None) -> None:
    """A missing file, and a file that is not text."""
    path = tmp_path / "run.toml"
    if content:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="run"):
        resolve(file=path)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Draw any configuration that fits together."""
    rates = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    hop = math.prod(rates)
    n_fft = max(16, hop + 2 * draw(st.integers(0, 100)))
    n_fft += (n_fft - hop) % 2
    sizes = draw(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=3))
    numbers = st.floats(1e-6, 1.0, exclude_max=True)
    sample_rate = 2 * draw(st.integers(2000, 24_000))
    return Config(
        mel=MelConfig(
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop,
            win_length=draw(st.integers(1, n_fft)),
            fmax=draw(st.floats(100.0, sample_rate / 2)),
        ),
        generator=GeneratorConfig(
            resblock=draw(st.sampled_from([1, 2])),
            upsample_rates=rates,
            upsample_kernel_sizes=tuple(rate + 2 * draw(st.integers(0, 4)) for rate in rates),
            upsample_initial_channel=2 ** len(rates) * draw(st.integers(1, 8)),
            resblock_kernel_sizes=tuple(sizes),
            resblock_dilation_sizes=tuple((1, draw(st.integers(1, 9))) for _ in sizes),
        ),
        train=TrainConfig(
            seed=draw(st.integers(0, 2**63 - 1)),
            segment_size=hop * (n_fft // hop + 1),
            learning_rate=draw(numbers),
            adam_betas=(draw(numbers), draw(numbers)),
            deterministic=draw(st.booleans()),
        ),
    )


@given(config=configs())
def test_toml_round_trip(config: Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A configuration in TOML loses and rounds nothing."""
    path = tmp_path_factory.mktemp("toml") / "run.toml"
    path.write_text(to_toml(config), "utf-8")
    assert resolve("v3", path).config == config


def test_fmax_null_is_written_as_nyquist(tmp_path: Path) -> None:
    """TOML has no null: an upper edge of None is written as Nyquist."""
    path = tmp_path / "run.toml"
    path.write_text(to_toml(Config(mel=MelConfig(fmax=None))), "utf-8")
    assert resolve(file=path).config.mel.fmax == 11_025
