"""`resynth` cleans: what is on, what is said of it, and that it needs nothing but the package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hifigan_cli
from hifigan_cli.config import MelConfig
from hifigan_cli.models import write_model
from tests.data.corpora import write
from tests.enhancing import write_tiny_enhancer
from tests.helpers import hifigan, speech
from tests.models_for_tests import tiny_model, write_tiny_model

RATE_HZ = 22_050


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Speech-like sound of 1.5 s in noise, with a pause of noise alone at its end."""
    voice = speech(1.5)
    voice[-RATE_HZ // 2 :] = 0
    noise = np.random.default_rng(0).normal(0, 0.02, len(voice))
    return write(tmp_path / "noisy.wav", voice + noise)


def pause_db(path: Path) -> float:
    """Return the level of the pause's middle in dB."""
    samples, rate_hz = soundfile.read(path)
    tail = samples[-int(0.35 * rate_hz) : -int(0.1 * rate_hz)]
    return float(10 * np.log10(np.mean(tail**2) + 1e-12))


def test_it_cleans_offline(noisy: Path, tmp_path: Path) -> None:
    """What a plain install brings does the work, without a network; noise falls."""
    script = """
import socket, sys
def refuse(*_):
    raise OSError("no network in this test")
socket.socket.connect = refuse
from hifigan_cli.cli.main import main
sys.exit(main())
"""
    levels = []
    for option in ("--enhance", "--no-enhance"):
        out = tmp_path / f"{option}.wav"
        command = ["resynth", noisy, "-o", out, option, "--device", "cpu"]
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
    """Stderr names what is on; a limit holds back; --no-enhance keeps the noise."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    said, made = {}, {}
    for option in ((), ("--enhance",), ("--attenuation-limit", "0"), ("--no-enhance",)):
        out = tmp_path / f"out{'_'.join(option)}.wav"
        run = hifigan("resynth", noisy, "-o", out, "-m", model, *option)
        assert run.returncode == 0, run.stderr
        said[option], made[option] = run.stderr, soundfile.read(out)[0]
    assert "enhancement on (" in said[()]
    assert "by at most 0 dB" in said["--attenuation-limit", "0"]
    assert "enhancement off" in said[("--no-enhance",)]
    assert np.array_equal(made[()], made[("--enhance",)])
    assert not np.allclose(made[()], made[("--no-enhance",)], atol=1e-3)


def test_models_of_other_mels(noisy: Path, tmp_path: Path) -> None:
    """By default it stays off for them, and says why; asked for, it is refused."""
    mel = MelConfig(fmin_hz=50.0)
    write_model(tmp_path / "m.safetensors", tiny_model(mel=mel))
    command = ("resynth", noisy, "-o", tmp_path / "o.wav", "-m", tmp_path / "m.safetensors")
    run = hifigan(*command)
    assert run.returncode == 0, run.stderr
    assert "enhancement off: the enhancer reads another mel" in run.stderr
    run = hifigan(*command, "--enhance", "--force")
    assert run.returncode == 5
    assert "different mels" in run.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--no-enhance", "--attenuation-limit", "9"), 2, "--no-enhance leaves nothing"),
        (("--enhancer", "nowhere"), 5, "no enhancer nowhere"),
        (("--attenuation-limit", "-3"), 2, "--attenuation-limit"),
    ],
)
def test_wishes_that_cannot_be_met(
    noisy: Path, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    """Contradictions and missing files: an exit code, a line, and nothing written."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    run = hifigan("resynth", noisy, "-o", tmp_path / "out.wav", "-m", model, *options)
    assert run.returncode == code
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out.wav").exists()


def test_a_vocoder_is_no_enhancer(noisy: Path, tmp_path: Path) -> None:
    """The wrong kind of file is named, with --json as an object."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    run = hifigan(
        "resynth", noisy, "-o", tmp_path / "o.wav", "-m", model, "--enhancer", model, "--json"
    )
    assert run.returncode == 5
    assert "not an enhancer" in json.loads(run.stdout.splitlines()[-1])["message"]


def test_from_python(noisy: Path, tmp_path: Path) -> None:
    """`resynthesize` cleans as the command does; False keeps; another enhancer is another."""
    vocoder = hifigan_cli.load_model(write_tiny_model(tmp_path / "m.safetensors"), "cpu")
    other = hifigan_cli.load_enhancement(write_tiny_enhancer(tmp_path / "e.safetensors"), "cpu")
    made = [
        hifigan_cli.resynthesize(noisy, vocoder, enhance=wish).samples
        for wish in (None, True, False, other)
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.allclose(made[0], made[2], atol=1e-3)
    assert not np.allclose(made[3], made[0], atol=1e-3)
