"""The layers win in the stated order, say where each value came from, and explain mistakes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config import Config, GeneratorConfig, MelConfig, TrainConfig, preset, resolve
from hifigan_cli.config.resolve import KEYS, to_toml
from hifigan_cli.errors import UsageError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Write a file with a preset and one value."""
    path = tmp_path / "run.toml"
    path.write_text('preset = "v2"\n[train]\nbatch_size = 2\n', "utf-8")
    return path


def test_each_layer_wins_over_the_one_below(toml: Path) -> None:
    """Guard option > --set > variable > file > default, one step at a time."""
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


def test_options_not_given_change_nothing() -> None:
    """Guard that None means "not given"."""
    assert resolve(options={"steps": None}) == resolve()


def test_the_presets_values_say_so(toml: Path) -> None:
    """Guard the provenance of preset values, and that --preset wins over the file's."""
    resolved = resolve(file=toml)
    assert resolved.config.generator == preset("v2").generator
    assert resolved.sources["generator.upsample_initial_channel"] == "preset v2"
    assert resolved.sources["generator.upsample_rates"] == "default"
    assert resolve("v3", toml).config.generator == preset("v3").generator


def test_every_key_has_a_source_and_one_section() -> None:
    """Guard that a bare key is never ambiguous, and that no value lacks its origin."""
    sections = (MelConfig, GeneratorConfig, TrainConfig)
    unset = {"convention", "variant"}  # of models of other tools; no settings
    assert len(KEYS) == sum(len(section.model_fields.keys() - unset) for section in sections)
    assert set(resolve().sources) == set(KEYS.values())


def test_foreign_variables_are_ignored() -> None:
    """Guard that HIFIGAN_MODEL and the like are no configuration."""
    env = {"HIFIGAN_MODEL": "x", "HIFIGAN_DEBUG": "1", "BATCH_SIZE": "3"}
    env |= {"HIFIGAN_PRECISION": "int16"}  # of synthesis, where training has no such precision
    assert resolve(environment=env) == resolve()


def test_values_are_toml_and_bare_words_are_strings() -> None:
    """Guard the grammar of --set: lists, floats, words, section.key."""
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
    ("item", "said", "hinted"),
    [
        ("batch_sise=3", "unknown configuration key 'batch_sise' (from --set)", "batch_size?"),
        ("train.batchsize=3", "unknown configuration key", "train.batch_size?"),
        ("upsample_rate=[8]", "unknown configuration key", "upsample_rates?"),
        ("zzzz=1", "unknown configuration key 'zzzz'", "--resolved"),
        ("batch_size", "has no value", "KEY=VALUE"),
        ("batch_size=", "train.batch_size: Input should be a valid integer, got ''", ""),
        ("batch_size=many", "train.batch_size: Input should be a valid integer, got 'many'", ""),
        ("steps=1.5", "train.steps: Input should be a valid integer, got 1.5 (from --set)", ""),
        ("steps=true", "train.steps: Input should be a valid integer, got True", ""),
        ("resblock=[1]", "generator.resblock: Input should be 1 or 2, got [1]", ""),
        ("hop_length=-256", "mel.hop_length: Input should be greater than 0, got -256", ""),
        ("hop_length=300", "upsample_rates multiply to 256 (8 x 8 x 2 x 2)", ""),
        ("upsample_rates=[8,8,4,2]", "multiply to 512 (8 x 8 x 4 x 2), but hop_length is 256", ""),
    ],
)
def test_mistakes_are_explained(item: str, said: str, hinted: str) -> None:
    """Guard the messages of row 50: the key, the value, its layer, and the nearest known key."""
    with pytest.raises(UsageError) as caught:
        resolve(sets=[item])
    assert said in caught.value.message
    assert hinted in (caught.value.hint or "")
    assert "pydantic" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nbatch_sise = 3\n", "unknown configuration key 'train.batch_sise'"),
        ("mel = 3\n", "unknown configuration key 'mel'"),
        ("[trian]\nseed = 3\n", "unknown configuration key 'trian.seed'"),
        ('preset = "v9"\n', "unknown preset 'v9'"),
        ("seed = \n", "not valid TOML"),
        ("[train]\nseed = -1\n", "train.seed: Input should be greater than or equal to 0"),
    ],
)
def test_mistakes_in_a_file_name_the_file(tmp_path: Path, text: str, said: str) -> None:
    """Guard the messages of config files."""
    path = tmp_path / "bad.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        resolve(file=path)
    assert said in caught.value.message
    assert "preset" in said or str(path) in caught.value.message


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    """Guard a missing config file, and one that is not text."""
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
def test_toml_reads_back_to_the_same_values(
    config: Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Guard the configuration saved with a run: nothing is lost or rounded."""
    path = tmp_path_factory.mktemp("toml") / "run.toml"
    path.write_text(to_toml(config), "utf-8")
    assert resolve("v3", path).config == config


def test_nyquist_survives_toml(tmp_path: Path) -> None:
    """Guard the one value that TOML cannot say: no upper edge is written as Nyquist."""
    path = tmp_path / "run.toml"
    path.write_text(to_toml(Config(mel=MelConfig(fmax=None))), "utf-8")
    assert resolve(file=path).config.mel.fmax == 11_025
