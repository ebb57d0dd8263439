"""What strangers' files, shared machines and networks must not get: code, other files, a packet."""

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
from tests.audio.sounds import encoded, voice
from tests.data.corpora import corpus
from tests.faults.command import Command
from tests.faults.runs import words
from tests.faults.test_row_places import Trap
from tests.forkserver import SMALL
from tests.helpers import ROOT, environment
from tests.importers.test_official import write_official

OFFLINE = {"PYTHONPATH": f"{Path(__file__).parent / 'offline'}:{ROOT}"}
PACKAGE = ROOT / "hifigan_cli"


def test_no_command_uses_the_network(
    cli: Command, model: Path, wav: Path, prepared: Path, tmp_path: Path
) -> None:
    """Synthesis with the default model, analysis, preparation, import, training: not a socket."""
    corpus(tmp_path / "corpus", 6)
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
        ended = cli(*line, env=OFFLINE)
        assert "NETWORK" not in ended.err
        assert ended.code == 0, ended.err
    cli.done(*words(prepared, tmp_path / "run", steps=2), program=SMALL, env=OFFLINE)


@pytest.mark.parametrize("way", ["create_connection(('127.0.0.1', 9))", "socket()"])
def test_the_watch_on_the_network_sees(way: str) -> None:
    """Protects the test above."""
    looked = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.{way}"],
        env=environment(OFFLINE),
        capture_output=True,
        check=False,
    )
    assert looked.returncode == 99
    assert b"NETWORK" in looked.stderr


def _calls(path: Path) -> set[str]:
    """Name what a module calls, as it is written."""
    tree = ast.parse(path.read_text("utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


UNSAFE = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "shelve.open"),
    *("eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "yaml.unsafe_load"),
}


def test_nothing_in_the_package_runs_what_it_reads() -> None:
    """No pickle, no eval, no shell; torch.load in two known places, and for tensors alone.

    The second is of a judge's weights, which came with an installed package.
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


def test_a_file_of_tensors_is_read_in_a_process_with_limits(cli: Command, tmp_path: Path) -> None:
    """A checkpoint that asks for more memory than its size allows ends the child, not the run."""
    official = write_official(tmp_path)
    state = torch.load(official)["generator"]
    # One stored number that claims to be 2^38 of them: strides of zero cost nothing to write.
    state["conv_pre.bias"] = torch.zeros(1).as_strided((1 << 38,), (0,))
    torch.save({"generator": state}, official)
    assert official.stat().st_size < 1 << 20
    ended = cli("import", official, "-o", tmp_path / "m.safetensors", timeout_s=60)
    assert ended.code == 5, ended.err
    assert ended.peak_bytes < 2 << 30
    assert not (tmp_path / "m.safetensors").exists()


def test_a_packed_mel_is_measured_before_it_is_unpacked(
    cli: Command, model: Path, tmp_path: Path
) -> None:
    """Kilobytes that would become gigabytes are exit 3, at once and in little memory."""
    head = np.lib.format.magic(1, 0)
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (80, 6920601), }"
    text = text.ljust(117) + b"\n"
    with (
        zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("mel.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(head + len(text).to_bytes(2, "little") + text)
        for _ in range(2112):
            stream.write(bytes(1 << 20))
    torch.save(torch.zeros(1).as_strided((80, 1 << 36), (0, 0)), tmp_path / "m.pt")
    for name in ("m.npz", "m.pt"):
        assert (tmp_path / name).stat().st_size < 8 << 20
        line = ("vocode", tmp_path / name, "-o", tmp_path / "o.wav", "-m", model)
        ended = cli(*line, timeout_s=30)
        assert ended.code == 3, ended.err
        assert ended.peak_bytes < 1 << 30


def test_temporaries_are_made_anew(cli: Command, model: Path, wav: Path, tmp_path: Path) -> None:
    """Somebody else's link in a shared folder, under any name, leads no result astray."""
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    victim.write_bytes(b"theirs")
    # Every number that the command may have, near enough.
    first = int(Path("/proc/loadavg").read_text().split()[-1]) if Path("/proc").is_dir() else 0
    for number in range(first, first + 3000):
        (shared / f".{number}.o.wav.tmp").symlink_to(victim)
    cli.done("resynth", wav, "-o", shared / "o.wav", "-m", model)
    assert victim.read_bytes() == b"theirs"
    assert (shared / "o.wav").read_bytes().startswith(b"RIFF")


def test_results_have_the_permissions_of_the_user(
    cli: Command, model: Path, wav: Path, tmp_path: Path
) -> None:
    """The umask decides, for sound and for models, while they are written and after."""
    out = tmp_path / "o.wav"
    cli.done("resynth", wav, "-o", out, "-m", model, prepare=lambda: os.umask(0o077) and None)
    assert out.stat().st_mode & 0o777 == 0o600
    official = write_official(tmp_path)
    trained = tmp_path / "m.safetensors"
    cli.done("import", official, "-o", trained, prepare=lambda: os.umask(0o027) and None)
    assert trained.stat().st_mode & 0o777 == 0o640


def test_a_pickle_reaches_no_command(
    cli: Command, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a pickle is called, and wherever a file may be named, nothing of it runs.

    All but the first command run in this process; children read what they are given.
    """
    trap = tmp_path / "ran"
    evil = tmp_path / "evil"
    torch.save({"mel": Trap(trap), "generator": Trap(trap)}, evil)
    sound = tmp_path / "a.wav"
    sound.write_bytes(encoded(voice(0.2)))
    names = ("e.pt", "e.npy", "e.npz", "e.safetensors")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(evil.read_bytes())
    ended = cli("vocode", folder, "-o", tmp_path / "out", "-m", model, "--json")
    assert ended.failed == dict.fromkeys(names, 3)
    refused: list[tuple[str | Path, ...]] = []
    for name in ("e.pt", "e.safetensors"):
        refused += [
            ("info", folder / name),
            ("resynth", sound, "-o", tmp_path / "o.wav", "-m", folder / name),
        ]
    refused += [
        ("import", evil, "-o", tmp_path / "m.safetensors"),
        ("train", tmp_path, "--init", evil, "--out", tmp_path / "run"),
        ("info", "--resolved", "--config", evil),
        ("resynth", sound, "-o", tmp_path / "o.wav", "-m", model, "--enhancer", evil),
    ]
    for words_ in refused:
        code = run([str(word) for word in words_])
        assert code in (3, 5) or words_[:2] == ("info", "--resolved")
        cli.check(code, capsys.readouterr().err)
    assert not trap.exists()
