"""Configuration files: official config.json files, and key names of earlier versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hifigan_cli.cli.main import run
from hifigan_cli.config import PRESETS, preset, resolve
from hifigan_cli.config.files import read_config_file, with_current_names
from hifigan_cli.errors import UsageError
from tests.config.official import OFFICIAL_CONFIG

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS: dict[str, dict[str, Any]] = {
    "v1": {},
    "v2": {"upsample_initial_channel": 128},
    "v3": {
        "resblock": "2",
        "upsample_rates": [8, 8, 4],
        "upsample_kernel_sizes": [16, 16, 8],
        "upsample_initial_channel": 256,
        "resblock_kernel_sizes": [3, 5, 7],
        "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
    },
}


def write(path: Path, **changes: Any) -> Path:
    """Write the official V1 file with some values changed."""
    path.write_text(json.dumps(OFFICIAL_CONFIG | changes), "utf-8")
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_official_file_equals_the_preset(name: str, tmp_path: Path) -> None:
    """config_v1.json to config_v3.json give the values of the presets."""
    path = write(tmp_path / f"config_{name}.json", **BLOCKS[name])
    assert resolve(file=path).config == preset(name)
    assert resolve(file=path).sources["mel.sample_rate"] == str(path)


def test_values_of_an_official_file_are_used(tmp_path: Path) -> None:
    """Changed values arrive under our names, and options still win."""
    path = write(tmp_path / "c.json", adam_b1=0.5, batch_size=4, fmax=None, segment_size=4096)
    config = resolve(file=path, sets=["batch_size=2"]).config
    assert (config.train.adam_betas, config.train.batch_size) == ((0.5, 0.99), 2)
    assert (config.mel.fmax, config.train.segment_size) == (11_025, 4096)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_melz": 80}, "num_melz"),
        ({"fmax_for_loss": 8000}, "fmax_for_loss"),
        ({"hop_size": 300}, "hop_length"),
        ({"sampling_rate": "fast"}, "mel.sample_rate"),
    ],
)
def test_errors_name_key_and_file(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    """An unknown key or an invalid value is reported with its name and the file."""
    path = write(tmp_path / "config.json", **changes)
    with pytest.raises(UsageError) as caught:
        resolve(file=path)
    assert named in caught.value.message
    if named != "hop_length":  # a rule about two values names both, and no file
        assert str(path) in caught.value.message


def test_nyquist_as_loss_limit_is_accepted(tmp_path: Path) -> None:
    """`fmax_for_loss` may be null or Nyquist."""
    assert resolve(file=write(tmp_path / "c.json", fmax_for_loss=11_025)).config == preset("v1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", "{"),
        ("c.json", "[1]"),
        ("c.json", "[" * 100_000),
        ("c.json", '{"batch_size": NaN}'),
        ("c.toml", "seed = "),
        ("c.toml", "\udcff"),
    ],
)
def test_unreadable_files_are_usage_errors(name: str, text: str, tmp_path: Path) -> None:
    """Broken JSON and TOML, deep nesting and wrong encodings name the file or the key."""
    path = tmp_path / name
    path.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(UsageError, match=r"c\.json|c\.toml|batch_size"):
        resolve(file=path)


def test_config_new_converts_an_official_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`config new --config config_v3.json` writes TOML of the same values, or of another rate."""
    path, out = write(tmp_path / "config_v3.json", **BLOCKS["v3"]), tmp_path / "my.toml"
    assert run(["config", "new", "--config", str(path), "-o", str(out)]) == 0
    assert resolve(file=out).config == preset("v3")
    other = tmp_path / "48k.toml"
    line = ["config", "new", "--config", str(path), "--sample-rate", "48000", "-o", str(other)]
    assert run(line) == 0
    assert resolve(file=other).config == preset("v3-48k")
    assert run(["config", "new"]) == 2
    assert "--sample-rate" in capsys.readouterr().err


def test_earlier_key_names_are_read(tmp_path: Path) -> None:
    """The config.toml of a run of an earlier version is still read."""
    path = tmp_path / "config.toml"
    path.write_text("[mel]\nrate_hz = 22050\nfmax_hz = 7600.0\n[train]\nsegment_samples = 4096\n")
    config = resolve(file=path).config
    assert (config.mel.fmax, config.train.segment_size) == (7600, 4096)
    assert with_current_names([{"a": {"hop_samples": 3}}]) == [{"a": {"hop_length": 3}}]
    assert "rate_hz" not in str(read_config_file(path))
