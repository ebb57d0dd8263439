"""What the README and the pages show is run, with small stand-ins, so that it cannot grow false.

Each `hifigan` line of a code block is run in a folder that has what its reader would have. Where
that would take long or a GPU, it is run with `--dry-run`, or its options are looked up, and the
table below says so. A line that is not in the table is run as it stands.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from hifigan_cli.cli.main import run
from tests.examples import examples, furnish, mentions
from tests.helpers import hifigan_bytes
from tests.tools.readme import COMMANDS

GROUPS = ("config", "bench")
DRY = ("--dry-run",)
ONE = ("--workers", "1")
FAST = ("--metrics", "mel", *ONE)


@dataclass(frozen=True)
class How:
    """How an example is run.

    Attributes:
        more: words that are added to it.
        code: the exit code that the example is about.
        results: folders that earlier lines of the page would have filled.
        without: what an installation may lack of it.
        unrun: why only its options are looked up.
    """

    more: tuple[str, ...] = ()
    code: int = 0
    results: tuple[str, ...] = ()
    without: str = ""
    unrun: str = ""


_MEASURES = How(unrun="measures for minutes; tests/cli/test_bench.py runs it")
HOW = {
    "bench": _MEASURES,
    "bench --model v2 --lengths 5,20 --engines native,torch": _MEASURES,
    "bench --threads 2": _MEASURES,
    "bench --gpu 0 --lengths 5 --batch 1,16": _MEASURES,
    "bench --cold -m v2": _MEASURES,
    "bench train -p v1 --batch 2 --threads 2": _MEASURES,
    "bench train -p v2 --batch 4": _MEASURES,
    "config new --rate 48000 --hop 480 --preset v2 -o my.toml": How(("--force",)),
    "config new --rate 48000 --hop 512 --preset v2 -o my.toml": How(("--force",)),
    "config new --rate 48000 --hop 514": How(code=2),
    "demo -o heard --model ljspeech-v1": How(unrun="runs the large model; `demo` itself is run"),
    "evaluate held-out/ results/ --html page.html": How(FAST, results=("results",)),
    "evaluate recordings/ out/": How(FAST, results=("out",)),
    "evaluate recordings/ out/ --html page.html": How(FAST, results=("out",)),
    # 1: the threshold needs metrics that are left out here
    "evaluate recordings/ out/ --threshold v2 --csv scores.csv --html page.html": How(
        FAST, code=1, results=("out",)
    ),
    "evaluate recordings/ results/ --threshold v2 --csv scores.csv --html page.html": How(
        FAST, code=1, results=("results",)
    ),
    "export -o model.onnx": How(("runs/v1",), without="onnx"),
    "export runs/v1 -o voice.onnx": How(without="onnx"),
    "import their.ckpt -o model.safetensors": How(("--force",)),
    "import their.ckpt -o model.safetensors --config config.json --ema": How(("--force",)),
    "mel recording.wav -o mel.npy": How(("--force",)),
    "preprocess /corpus -o /shared/prepared --shard I/16 --shard-mb 8192": How(DRY),
    "preprocess /corpus -o /shared/prepared --shard-mb 8192": How(DRY),
    "preprocess LJSpeech-1.1": How(("-o", "other", *ONE)),
    "preprocess recordings/ -o prepared": How(("--force", *ONE)),
    "preprocess recordings/ -o prepared --config my.toml": How(("--force", *ONE)),
    "preprocess recordings/ -o prepared --preset v1-48k --validation 40": How(("--force", *ONE)),
    "preprocess recordings/ -o prepared-tts --mels predicted/": How(("--force", *ONE)),
    "train": How(DRY),
    "train --gpu 0": How(DRY),
    "train /shared/prepared -o /shared/runs/v1 --set batch_size=1024": How(DRY),
    "train prepared --config my.toml": How(DRY),
    "train prepared --preset v1 --init universal-v1 --gpu 0 --steps 100000 --out runs/mine": How(
        DRY
    ),
    "train prepared --preset v2 --gpu 0": How(DRY),
    "train prepared --preset v2 --gpu 0 --out runs/mine --init universal-v1 --wandb voices": How(
        DRY
    ),
    "train prepared -o runs/v1 --set batch_size=128": How(DRY),
    "train prepared-tts --init runs/mine --steps 100000 --out runs/mine-tts": How(DRY),
    "train-enhancer --noises noises/ --rirs rirs/": How(DRY),
    "train-enhancer prepared --noises noises/ --rirs rirs/ --steps 20000 --gpu 0": How(DRY),
    "vocode theirs.npy -o out.wav": How(code=3),
}


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the reader of an example has."""
    folder = tmp_path_factory.mktemp("reader") / "folder"
    folder.mkdir()
    furnish(folder)
    return folder


def adapted(line: str, how: How) -> list[str]:
    """Return an example's words for a machine without a GPU and without its absolute paths."""
    words = shlex.split(line.replace("--gpu 0", "--device cpu").replace("I/16", "1/16"))
    return [word.removeprefix("/") for word in words] + list(how.more)


@pytest.mark.parametrize("line", [x for x in examples() if not HOW.get(x, How()).unrun])
def test_an_example_does_what_it_says(
    line: str, furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of the documents ends with the exit code that a reader expects."""
    how = HOW.get(line, How())
    if how.without:
        pytest.importorskip(how.without)
    folder = tmp_path / "folder"
    shutil.copytree(furnished, folder, symlinks=True)
    for name in how.results:
        shutil.copytree(
            folder / ("held-out" if "held-out" in line else "recordings"), folder / name
        )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HIFIGAN_MODEL", "runs/v1")
    monkeypatch.setenv("HIFIGAN_THREADS", "1")
    before = {path for path in folder.rglob("*") if path.is_file()}
    words = adapted(line, how)
    if "-" in words:  # a pipe is one between processes
        piped = hifigan_bytes(
            *words, stdin=(folder / "mel.npy").read_bytes(), env={"HIFIGAN_MODEL": "runs/v1"}
        )
        assert piped.returncode == 0, piped.stderr
        assert len(piped.stdout) > 10_000
        return
    assert run(words) == how.code
    named = {folder / word for word in words if re.fullmatch(r"[\w-]+\.\w{3,11}", word)}
    if how.code == 0 and "--dry-run" not in words:
        assert {path for path in named if not path.exists()} == set()
    else:
        assert {path for path in folder.rglob("*") if path.is_file()} - before <= named


def test_no_line_of_the_table_is_out_of_date() -> None:
    """What is said of an example that no document shows would hide the next one of that name."""
    assert set(HOW) - set(examples()) == set()


@pytest.mark.parametrize("line", [*examples(), *mentions()])
def test_commands_and_options_exist(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of a document, in its text too, has the options that it is shown with."""
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(line)
    command = words[: 2 if words[0] in GROUPS and words[1:] and words[1][0] != "-" else 1]
    run([*command, "--help"])
    shown = capsys.readouterr().out
    assert "Usage: hifigan" in shown
    for option in (word for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), option


def test_every_command_has_a_short_and_a_real_example() -> None:
    """A reader finds two calls of each command: the shortest, and one from practice."""
    for command in set(COMMANDS) - {"config"}:
        own = {line for line in examples() if f"{line} ".startswith(f"{command} ")}
        if command == "bench":
            own = {line for line in own if not line.startswith("bench train")}
        wanted = 1 if " " in command else 2  # the groups' parts share
        assert len(own) >= wanted, command
