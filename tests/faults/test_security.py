"""Security: no code from input files, no access to other files, no network."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.cli.main import run
from tests.audio.sounds import encode, voice
from tests.data.corpora import write_corpus
from tests.faults.command import Command
from tests.faults.runs import train_args
from tests.faults.test_row_outputs import PickleTrap
from tests.forkserver import HIFIGAN_SMALL
from tests.helpers import ROOT, environment
from tests.importers.test_official import write_official

OFFLINE = {"PYTHONPATH": f"{Path(__file__).parent / 'offline'}:{ROOT}"}
PACKAGE = ROOT / "hifigan_cli"


def test_no_command_uses_the_network(
    cli: Command, model: Path, wav: Path, prepared: Path, tmp_path: Path
) -> None:
    """Synthesis, mel extraction, preprocessing, import and training open no socket."""
    write_corpus(tmp_path / "corpus", 6)
    official = write_official(tmp_path)
    for line in (
        ("resynth", wav, "-o", tmp_path / "o.wav"),
        ("mel", wav, "-o", tmp_path / "m.npy"),
        ("vocode", tmp_path / "m.npy", "-o", tmp_path / "v.wav", "-m", model),
        ("info", model),
        ("import", official, "-o", tmp_path / "i.safetensors"),
        ("preprocess", tmp_path / "corpus", "-o", tmp_path / "p", "--workers", "2"),
        ("doctor",),
    ):
        result = cli(*line, env=OFFLINE)
        assert "NETWORK" not in result.stderr
        assert result.exit_code == 0, result.stderr
    cli.expect_success(
        *train_args(prepared, tmp_path / "run", steps=2), program=HIFIGAN_SMALL, env=OFFLINE
    )


@pytest.mark.parametrize("call", ["create_connection(('127.0.0.1', 9))", "socket()"])
def test_network_use_is_detected(call: str) -> None:
    """The test above can fail."""
    run = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.{call}"],
        env=environment(OFFLINE),
        capture_output=True,
        check=False,
    )
    assert run.returncode == 99
    assert b"NETWORK" in run.stderr


def _calls(path: Path) -> set[str]:
    """Return the names of the functions that a module calls."""
    tree = ast.parse(path.read_text("utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


UNSAFE = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "shelve.open"),
    *("eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "yaml.unsafe_load"),
}


def test_package_makes_no_unsafe_calls() -> None:
    """No pickle, eval or shell; torch.load only in two known modules, and only for tensors.

    The second loads the weights of a MOS predictor from an installed package.
    """
    loaders = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        calls = _calls(path)
        assert not calls & UNSAFE, path
        assert not {call for call in calls if call.endswith((".extractall", ".extract"))}, path
        text = path.read_text("utf-8")
        assert "allow_pickle=True" not in text, path
        assert "shell=True" not in text, path
        if "torch.load" in calls:
            loaders.add(str(path.relative_to(PACKAGE)))
            assert text.count("torch.load(") == text.count("weights_only=True"), path
    assert loaders == {
        "io/untrusted_child.py",
        "evaluation/mos.py",
    }


def test_tensor_file_is_read_with_limited_memory(cli: Command, tmp_path: Path) -> None:
    """A checkpoint that claims a huge tensor is an error, and uses little memory."""
    official = write_official(tmp_path)
    state = torch.load(official)["generator"]
    # With a stride of zero, one stored number can claim to be 2^38 numbers.
    state["conv_pre.bias"] = torch.zeros(1).as_strided((1 << 38,), (0,))
    torch.save({"generator": state}, official)
    assert official.stat().st_size < 1 << 20
    result = cli("import", official, "-o", tmp_path / "m.safetensors", timeout_s=60)
    assert result.exit_code == 5, result.stderr
    assert result.peak_bytes < 2 << 30
    assert not (tmp_path / "m.safetensors").exists()


def test_archive_size_is_checked_before_unpacking(
    cli: Command, model: Path, tmp_path: Path
) -> None:
    """A small archive of gigabytes of zeros fails with exit code 3, at once, in little memory."""
    magic = np.lib.format.magic(1, 0)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (80, 6920601), }"
    header = header.ljust(117) + b"\n"
    with (
        zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("mel.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(magic + len(header).to_bytes(2, "little") + header)
        for _ in range(2112):
            stream.write(bytes(1 << 20))
    torch.save(torch.zeros(1).as_strided((80, 1 << 36), (0, 0)), tmp_path / "m.pt")
    for name in ("m.npz", "m.pt"):
        assert (tmp_path / name).stat().st_size < 8 << 20
        line = ("vocode", tmp_path / name, "-o", tmp_path / "o.wav", "-m", model)
        result = cli(*line, timeout_s=30)
        assert result.exit_code == 3, result.stderr
        assert result.peak_bytes < 1 << 30


def test_temporary_files_do_not_follow_links(
    cli: Command, model: Path, wav: Path, tmp_path: Path
) -> None:
    """Another user's links in a shared folder, with any name, do not redirect a result."""
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    victim.write_bytes(b"original")
    # Cover the pids that the command may have.
    first = int(Path("/proc/loadavg").read_text().split()[-1]) if Path("/proc").is_dir() else 0
    for number in range(first, first + 3000):
        (shared / f".{number}.o.wav.tmp").symlink_to(victim)
    cli.expect_success("resynth", wav, "-o", shared / "o.wav", "-m", model)
    assert victim.read_bytes() == b"original"
    assert (shared / "o.wav").read_bytes().startswith(b"RIFF")


def test_results_have_the_permissions_of_the_user(
    cli: Command, model: Path, wav: Path, tmp_path: Path
) -> None:
    """Audio and model files have the permissions of the umask."""
    out = tmp_path / "o.wav"
    cli.expect_success(
        "resynth", wav, "-o", out, "-m", model, prepare=lambda: os.umask(0o077) and None
    )
    assert out.stat().st_mode & 0o777 == 0o600
    official = write_official(tmp_path)
    trained = tmp_path / "m.safetensors"
    cli.expect_success("import", official, "-o", trained, prepare=lambda: os.umask(0o027) and None)
    assert trained.stat().st_mode & 0o777 == 0o640


def test_no_command_runs_a_pickle(
    cli: Command, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command unpickles a file, whatever its name and option.

    All commands except the first run in this process, and their child processes read the files.
    """
    trap = tmp_path / "ran"
    malicious = tmp_path / "malicious"
    torch.save({"mel": PickleTrap(trap), "generator": PickleTrap(trap)}, malicious)
    sound = tmp_path / "a.wav"
    sound.write_bytes(encode(voice(0.2)))
    names = ("e.pt", "e.npy", "e.npz", "e.safetensors")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(malicious.read_bytes())
    result = cli("vocode", folder, "-o", tmp_path / "out", "-m", model, "--json")
    assert result.failed == dict.fromkeys(names, 3)
    commands: list[tuple[str | Path, ...]] = []
    for name in ("e.pt", "e.safetensors"):
        commands += [
            ("info", folder / name),
            ("resynth", sound, "-o", tmp_path / "o.wav", "-m", folder / name),
        ]
    commands += [
        ("import", malicious, "-o", tmp_path / "m.safetensors"),
        ("train", tmp_path, "--init", malicious, "--out", tmp_path / "run"),
        ("info", "--resolved", "--config", malicious),
        ("resynth", sound, "-o", tmp_path / "o.wav", "-m", model, "--enhancer", malicious),
    ]
    for args in commands:
        code = run([str(arg) for arg in args])
        assert code in (3, 5) or args[:2] == ("info", "--resolved")
        cli.check(code, capsys.readouterr().err)
    assert not trap.exists()
