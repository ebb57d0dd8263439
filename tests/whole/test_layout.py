"""The layout that the package docstring draws holds: imports point one way, and only cli prints."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch

from tests.helpers import ROOT, speech
from tests.models_for_tests import write_tiny_model

PACKAGE = ROOT / "hifigan_cli"
# Each part may import those of the lines above its own, and itself.
LAYERS = (
    {"errors", "types", "assets"},
    {"config"},
    {"runtime"},
    {"io"},
    {"audio"},
    {"models"},
    {"engines", "importers", "data"},
    {"training"},
    {"enhancement"},
    {"synthesis", "evaluation"},
    {"reports"},
    {"benchmarks"},
    {"api"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
MODULES = sorted(PACKAGE.rglob("*.py"))
PRINTERS = {"typer", "rich", "click", "logging"}


def part_of(path: Path) -> str:
    """Return the top-level part of the package that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported anywhere in a file, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_imports(path: Path, text: str) -> list[str]:
    """List the imports of a file that point the wrong way."""
    part, wrong = part_of(path), []
    for name in imports(ast.parse(text)):
        root, _, rest = name.partition(".")
        target = rest.split(".")[0] or "__init__"
        if root != "hifigan_cli":
            continue
        if target not in LEVEL:  # a name that the package itself offers
            target = "__init__"
        if target != part and LEVEL[target] >= LEVEL[part]:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """Guard errors, config <- audio, models <- data, synthesis <- training ... <- cli."""
    assert wrong_imports(path, path.read_text("utf-8")) == []


def test_a_wrong_import_would_be_seen() -> None:
    """Guard the guard: upward, sideways, and within a function."""
    models = PACKAGE / "models" / "x.py"
    for line in (
        "from hifigan_cli.cli import app",
        "import hifigan_cli.training.step",
        "from hifigan_cli import load_model",
        "def f():\n    from hifigan_cli.data import prepared",
    ):
        assert wrong_imports(models, line)
    assert wrong_imports(PACKAGE / "data" / "x.py", "from hifigan_cli.synthesis import chunks")
    assert not wrong_imports(models, "from hifigan_cli.io.files import replacing")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path: Path) -> None:
    """Guard the core's silence: no print, no console library, no writing to standard streams."""
    if part_of(path) in ("cli", "__main__"):
        return
    tree = ast.parse(path.read_text("utf-8"))
    assert not {name.partition(".")[0] for name in imports(tree)} & PRINTERS
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "sys.exit", "warnings.warn")
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in ("sys.stdout", "sys.stderr")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path: Path) -> None:
    """Guard docstrings: a module begins with one; a folder's `__init__` names its files."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert docstring, "a module docstring is missing"
    if path.name == "__init__.py" and path.parent != PACKAGE and path.parent.name != "cli":
        for sibling in path.parent.glob("*.py"):
            if sibling.stem != "__init__":
                assert f"`{sibling.stem}`" in docstring, f"{sibling.name} is not in the tour"


def test_folders_and_files_stay_small() -> None:
    """Guard one idea a file: none over 350 lines; every folder of code is a package."""
    for path in MODULES:
        assert len(path.read_text("utf-8").splitlines()) <= 350, path
        assert (path.parent / "__init__.py").is_file(), path.parent


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules that lie on a circle of imports, or lead from one to another."""
    left = dict(graph)
    while True:
        ends = {name for name, targets in left.items() if not targets & left.keys()}
        if not ends:
            return sorted(left)
        left = {name: targets for name, targets in left.items() if name not in ends}


def test_no_import_circles() -> None:
    """Guard one way through the files too, imports for type checking included."""
    known = {module_name(path) for path in MODULES}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        targets = set()
        for name in imports(ast.parse(path.read_text("utf-8"))):
            # `from package import name` may mean a module, or a name of one.
            found = next((n for n in (name, name.rpartition(".")[0]) if n in known), None)
            targets |= {found} if found else set()
        graph[module_name(path)] = targets - {module_name(path)}
    assert circles(graph) == []
    graph["hifigan_cli.errors"] = {"hifigan_cli.cli.main"}
    assert "hifigan_cli.errors" in circles(graph), "a circle would be seen"


def test_one_name_one_meaning() -> None:
    """Guard class names, and the array types, which stand in `types` only."""
    homes: dict[str, list[str]] = {}
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module_name(path))
            if isinstance(node, ast.Assign) and path.name != "types.py":
                assert not ast.unparse(node.value).startswith(("npt.NDArray", "np.ndarray")), path
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_each_part_imports_alone() -> None:
    """Guard against circles: every part can be the first that a script imports."""
    script = (
        "import importlib, sys, numpy, torch, pydantic, soundfile\n"
        "for part in sys.argv[1:]:\n"
        "    for name in [n for n in sys.modules if n.startswith('hifigan_cli')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(f'hifigan_cli.{part}')"
    )
    parts = {part_of(path) for path in MODULES} - {"__init__", "__main__"}
    run = subprocess.run(
        [sys.executable, "-c", script, *sorted(parts)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def loaded_by(*arguments: str) -> set[str]:
    """Run `hifigan` in a subprocess; return the top-level modules that it loaded."""
    script = (
        "import sys\n"
        "from hifigan_cli.cli.main import run\n"
        "run(sys.argv[1:])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    assert run.stdout
    return set(run.stderr.splitlines()[-1].split())


def light_engines() -> list[str]:
    """Name the engines without torch that this installation has."""
    from hifigan_cli.engines.choose import LIGHT, missing

    return [name for name in LIGHT if not missing(name)]


def test_synthesis_on_a_cpu_loads_no_torch(tmp_path: Path) -> None:
    """Guard the light path: recording or mel to speech needs none of the slow libraries."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    wav, mel, pickled = (tmp_path / name for name in ("i.wav", "i.npy", "i.pt"))
    torch.save(torch.full((80, 20), -5.0), pickled)  # another process reads it
    soundfile.write(wav, speech(1.0), 22_050)
    heavy = {"torch", "torchaudio", "scipy", "matplotlib"}
    commands = [["mel", wav, "-o", mel, "--json"]]
    for name in light_engines():
        to = ["-m", model, "--engine", name, "--device", "cpu", "--json"]
        commands.append(["vocode", mel, "-o", tmp_path / f"v{name}.wav", *to])
        commands.append(["vocode", pickled, "-o", tmp_path / f"p{name}.wav", *to])
        commands.append(["resynth", wav, "-o", tmp_path / f"r{name}.wav", *to])
    if light_engines():  # and they are what is chosen where nothing is said
        commands.append(["resynth", wav, "-o", tmp_path / "auto.wav", "-m", model, "--json"])
        commands[-1] += ["--device", "cpu"]
    for command in commands:
        assert not loaded_by(*map(str, command)) & heavy, command


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_is_fast_because_it_loads_little(option: str) -> None:
    """Guard start-up under half a second: heavy libraries wait for the command that needs them."""
    heavy = {"torch", "torchaudio", "numpy", "scipy", "soundfile", "pydantic", "matplotlib"}
    assert not loaded_by(option) & heavy
