"""Test the examples of the README and the pages in .github, with small files and models.

Each `hifigan` command of a code block runs in a folder with the files that it needs. A command that
would take long or needs a GPU runs with `--dry-run`, or only its options are checked, according to
the table below. A command that is not in the table runs unchanged.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from hifigan_cli.cli.main import run
from tests.examples import create_example_files, examples, inline_examples
from tests.helpers import hifigan_bytes
from tests.tools.docs import COMMANDS

GROUPS = ("config", "bench")
ONE_WORKER = ("--workers", "1")
OVERWRITE = ("--force", *ONE_WORKER)
FAST_METRICS = ("--metrics", "mel", *ONE_WORKER)


@dataclass(frozen=True)
class Example:
    """How to run an example.

    Attributes:
        arguments: additional arguments.
        exit_code: the expected exit code.
        results: folders that earlier examples of the page create.
        package: a package that it needs and that may be missing.
        skip_reason: the reason to check only its options.
    """

    arguments: tuple[str, ...] = ()
    exit_code: int = 0
    results: tuple[str, ...] = ()
    package: str = ""
    skip_reason: str = ""


DRY = Example(("--dry-run",))
_BENCHMARK = Example(skip_reason="measures for minutes; tests/cli/test_bench.py runs it")
EXAMPLES = {
    "bench": _BENCHMARK,
    "bench --model v2 --lengths 5,20 --engines native,torch": _BENCHMARK,
    "bench --threads 2": _BENCHMARK,
    "bench --gpu 0 --lengths 5 --batch-sizes 1,16": _BENCHMARK,
    "bench --cold-start -m v2": _BENCHMARK,
    "bench train -p v1 --batch-size 2 --threads 2": _BENCHMARK,
    "bench train -p v2 --batch-size 4": _BENCHMARK,
    "config new --config config_v1.json -o my.toml": Example(("--force",)),
    "config new --sample-rate 48000 --hop-length 480 --preset v2 -o my.toml": Example(("--force",)),
    "config new --sample-rate 48000 --hop-length 512 --preset v2 -o my.toml": Example(("--force",)),
    "config new --sample-rate 48000 --hop-length 514": Example(exit_code=2),
    "demo -o listen --model ljspeech-v1": Example(skip_reason="runs a large model"),
    "evaluate held-out/ results/ --html page.html": Example(FAST_METRICS, results=("results",)),
    "evaluate recordings/ out/": Example(FAST_METRICS, results=("out",)),
    "evaluate recordings/ out/ --html page.html": Example(FAST_METRICS, results=("out",)),
    # The exit code is 1 because the threshold needs metrics that `FAST_METRICS` excludes.
    "evaluate recordings/ out/ --threshold v2 --csv scores.csv --html page.html": Example(
        FAST_METRICS, exit_code=1, results=("out",)
    ),
    "evaluate recordings/ results/ --threshold v2 --csv scores.csv --html page.html": Example(
        FAST_METRICS, exit_code=1, results=("results",)
    ),
    "export -o model.onnx": Example(("runs/v1",), package="onnx"),
    "export runs/v1 -o voice.onnx": Example(package="onnx"),
    "import their.ckpt -o model.safetensors": Example(("--force",)),
    "import their.ckpt -o model.safetensors --config config.json --ema": Example(("--force",)),
    "mel recording.wav -o mel.npy": Example(("--force",)),
    "preprocess /corpus -o /shared/prepared --shard I/16 --max-file-mb 8192": DRY,
    "preprocess /corpus -o /shared/prepared --max-file-mb 8192": DRY,
    "preprocess LJSpeech-1.1": Example(("-o", "other", *ONE_WORKER)),
    "preprocess recordings/ -o prepared": Example(OVERWRITE),
    "preprocess recordings/ -o prepared --config my.toml": Example(OVERWRITE),
    "preprocess recordings/ -o prepared --preset v1-48k --validation 40": Example(OVERWRITE),
    "preprocess recordings/ -o prepared-tts --mels predicted/": Example(OVERWRITE),
    "train": DRY,
    "train --config config_v1.json": DRY,
    "train --gpu 0 --bf16": DRY,
    "train --gpu 0 --bf16 --init universal-v1 --steps 100000 --out runs/mine": DRY,
    "train /shared/prepared -o /shared/runs/v1 --set batch_size=1024": DRY,
    "train prepared --config my.toml": DRY,
    "train prepared --preset v1 --init universal-v1 --gpu 0 --steps 100000 --out runs/mine": DRY,
    "train prepared --preset v2 --gpu 0": DRY,
    "train prepared --preset v2 --gpu 0 --out runs/mine --init universal-v1 --wandb voices": DRY,
    "train prepared -o runs/v1 --set batch_size=128": DRY,
    "train prepared-tts --init runs/mine --steps 100000 --out runs/mine-tts": DRY,
    "train-enhancer --noises noises/ --rirs rirs/": DRY,
    "train-enhancer prepared --noises noises/ --rirs rirs/ --steps 20000 --gpu 0": DRY,
    "vocode theirs.npy -o out.wav": Example(exit_code=3),
}


RUNNABLE = [line for line in examples() if not EXAMPLES.get(line, Example()).skip_reason]


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all files that the examples use."""
    folder = tmp_path_factory.mktemp("examples") / "folder"
    folder.mkdir()
    create_example_files(folder)
    return folder


def adapt(line: str, example: Example) -> list[str]:
    """Return the arguments of an example without a GPU and without absolute paths."""
    words = shlex.split(line.replace("--gpu 0", "--device cpu").replace("I/16", "1/16"))
    return [word.removeprefix("/") for word in words] + list(example.arguments)


@pytest.mark.parametrize("line", RUNNABLE)
def test_example_runs(
    line: str, example_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command of the documents ends with the expected exit code."""
    example = EXAMPLES.get(line, Example())
    if example.package:
        pytest.importorskip(example.package)
    folder = tmp_path / "folder"
    shutil.copytree(example_folder, folder, symlinks=True)
    for name in example.results:
        shutil.copytree(
            folder / ("held-out" if "held-out" in line else "recordings"), folder / name
        )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HIFIGAN_MODEL", "runs/v1")
    monkeypatch.setenv("HIFIGAN_THREADS", "1")
    before = {path for path in folder.rglob("*") if path.is_file()}
    words = adapt(line, example)
    if "-" in words:  # standard input or output
        piped = hifigan_bytes(
            *words, stdin=(folder / "mel.npy").read_bytes(), env={"HIFIGAN_MODEL": "runs/v1"}
        )
        assert piped.returncode == 0, piped.stderr
        assert len(piped.stdout) > 10_000
        return
    assert run(words) == example.exit_code
    outputs = {folder / word for word in words if re.fullmatch(r"[\w-]+\.\w{3,11}", word)}
    if example.exit_code == 0 and "--dry-run" not in words:
        assert {path for path in outputs if not path.exists()} == set()
    else:
        assert {path for path in folder.rglob("*") if path.is_file()} - before <= outputs


def test_table_is_current() -> None:
    """Every entry of the table is an example of a document."""
    assert set(EXAMPLES) - set(examples()) == set()


@pytest.mark.parametrize("line", [*examples(), *inline_examples()])
def test_commands_and_options_exist(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command in a document, also in its text, has the options of the example."""
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(line)
    command = words[: 2 if words[0] in GROUPS and words[1:] and words[1][0] != "-" else 1]
    run([*command, "--help"])
    output = capsys.readouterr().out
    assert "Usage: hifigan" in output
    for option in (word for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", output), option


def test_every_command_has_two_examples() -> None:
    """Each command has a minimal example and a practical one."""
    for command in set(COMMANDS) - {"config"}:
        lines = {line for line in examples() if f"{line} ".startswith(f"{command} ")}
        if command == "bench":
            lines = {line for line in lines if not line.startswith("bench train")}
        minimum = 1 if " " in command else 2  # subcommands need one each
        assert len(lines) >= minimum, command
