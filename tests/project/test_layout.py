"""Test the layout of the package: imports have one direction, and only `cli` prints."""

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
# Each package may import those of the lines before its own, and itself.
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
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}
MODULES = sorted(PACKAGE.rglob("*.py"))
CONSOLE_LIBRARIES = {"typer", "rich", "click", "logging"}


def top_level_name(path: Path) -> str:
    """Return the top-level package or module that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a file imports, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_imports(path: Path, text: str) -> list[str]:
    """Return the imports of a file that have the wrong direction."""
    package, invalid = top_level_name(path), []
    for name in imports(ast.parse(text)):
        root, _, rest = name.partition(".")
        target = rest.split(".")[0] or "__init__"
        if root != "hifigan_cli":
            continue
        if target not in LEVEL:  # a public name of the package
            target = "__init__"
        if target != package and LEVEL[target] >= LEVEL[package]:
            invalid.append(name)
    return invalid


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_have_one_direction(path: Path) -> None:
    """A file imports only from the lines of `LAYERS` before its own, and from its own package."""
    assert wrong_imports(path, path.read_text("utf-8")) == []


def test_wrong_imports_are_detected() -> None:
    """Imports from a later line or the same line, also within a function, are found."""
    models = PACKAGE / "models" / "x.py"
    for line in (
        "from hifigan_cli.cli import app",
        "import hifigan_cli.training.step",
        "from hifigan_cli import load_model",
        "def f():\n    from hifigan_cli.data import prepared",
    ):
        assert wrong_imports(models, line)
    assert wrong_imports(PACKAGE / "data" / "x.py", "from hifigan_cli.synthesis import chunks")
    assert not wrong_imports(models, "from hifigan_cli.io.files import atomic_replace")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_cli_prints(path: Path) -> None:
    """The other packages have no print, no console library, and no standard streams."""
    if top_level_name(path) in ("cli", "__main__"):
        return
    tree = ast.parse(path.read_text("utf-8"))
    assert not {name.partition(".")[0] for name in imports(tree)} & CONSOLE_LIBRARIES
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "sys.exit", "warnings.warn")
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in ("sys.stdout", "sys.stderr")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_has_a_docstring(path: Path) -> None:
    """Every module has a docstring; that of a package names its modules."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert docstring, "a module docstring is missing"
    if path.name == "__init__.py" and path.parent != PACKAGE and path.parent.name != "cli":
        for sibling in path.parent.glob("*.py"):
            if sibling.stem != "__init__":
                assert f"`{sibling.stem}`" in docstring, (
                    f"{sibling.name} is not in the list of modules"
                )


def test_files_stay_small() -> None:
    """No file has more than 350 lines, and every folder of code is a package."""
    for path in MODULES:
        assert len(path.read_text("utf-8").splitlines()) <= 350, path
        assert (path.parent / "__init__.py").is_file(), path.parent


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_cycles(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules on a cycle of imports, or between two cycles."""
    remaining = dict(graph)
    while True:
        leaves = {name for name, targets in remaining.items() if not targets & remaining.keys()}
        if not leaves:
            return sorted(remaining)
        remaining = {name: targets for name, targets in remaining.items() if name not in leaves}


def test_no_import_cycles() -> None:
    """There are no import cycles between files, also with imports for type checking."""
    known = {module_name(path) for path in MODULES}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        targets = set()
        for name in imports(ast.parse(path.read_text("utf-8"))):
            # `from package import name` may import a module, or a name from a module.
            target = next((n for n in (name, name.rpartition(".")[0]) if n in known), None)
            targets |= {target} if target else set()
        graph[module_name(path)] = targets - {module_name(path)}
    assert import_cycles(graph) == []
    graph["hifigan_cli.errors"] = {"hifigan_cli.cli.main"}
    assert "hifigan_cli.errors" in import_cycles(graph), "the cycle must be detected"


def test_class_names_are_unique() -> None:
    """Class names are unique, and array types are defined only in `types`."""
    definitions: dict[str, list[str]] = {}
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                definitions.setdefault(node.name, []).append(module_name(path))
            if isinstance(node, ast.Assign) and path.name != "types.py":
                assert not ast.unparse(node.value).startswith(("npt.NDArray", "np.ndarray")), path
    assert {name: places for name, places in definitions.items() if len(places) > 1} == {}


def test_each_package_can_be_imported_first() -> None:
    """No package depends on another one being imported before it."""
    script = (
        "import importlib, sys, numpy, torch, pydantic, soundfile\n"
        "for package in sys.argv[1:]:\n"
        "    for name in [n for n in sys.modules if n.startswith('hifigan_cli')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(f'hifigan_cli.{package}')"
    )
    packages = {top_level_name(path) for path in MODULES} - {"__init__", "__main__"}
    run = subprocess.run(
        [sys.executable, "-c", script, *sorted(packages)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def modules_loaded_by(*arguments: str) -> set[str]:
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


def torch_free_engines() -> list[str]:
    """Return the installed engines that need no torch."""
    from hifigan_cli.engines.selection import TORCH_FREE_ENGINES, unavailable_reason

    return [name for name in TORCH_FREE_ENGINES if not unavailable_reason(name)]


def test_cpu_synthesis_does_not_import_torch(tmp_path: Path) -> None:
    """Synthesis from a recording or a mel imports none of the slow libraries."""
    model = write_tiny_model(tmp_path / "m.safetensors")
    wav, mel, pickled = (tmp_path / name for name in ("i.wav", "i.npy", "i.pt"))
    torch.save(torch.full((80, 20), -5.0), pickled)  # a subprocess reads it
    soundfile.write(wav, speech(1.0), 22_050)
    heavy = {"torch", "torchaudio", "scipy", "matplotlib"}
    commands = [["mel", wav, "-o", mel, "--json"]]
    for name in torch_free_engines():
        options = ["-m", model, "--engine", name, "--device", "cpu", "--json"]
        commands.append(["vocode", mel, "-o", tmp_path / f"v{name}.wav", *options])
        commands.append(["vocode", pickled, "-o", tmp_path / f"p{name}.wav", *options])
        commands.append(["resynth", wav, "-o", tmp_path / f"r{name}.wav", *options])
    if torch_free_engines():  # one of them is the default on a CPU
        commands.append(["resynth", wav, "-o", tmp_path / "auto.wav", "-m", model, "--json"])
        commands[-1] += ["--device", "cpu"]
    for command in commands:
        assert not modules_loaded_by(*map(str, command)) & heavy, command


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_no_heavy_modules(option: str) -> None:
    """Heavy libraries are imported only by the commands that need them."""
    heavy = {"torch", "torchaudio", "numpy", "scipy", "soundfile", "pydantic", "matplotlib"}
    assert not modules_loaded_by(option) & heavy
