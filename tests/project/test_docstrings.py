"""Test the content of docstrings: lists of modules, `Raises` sections, first sentences.

ruff checks that every public module, class and function has a docstring.
"""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

import hifigan_cli
from hifigan_cli import errors
from tests.helpers import ROOT

PACKAGE = ROOT / "hifigan_cli"
PACKAGES = sorted(path for path in PACKAGE.rglob("__init__.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))


def documented_nodes(path: Path) -> list[ast.AST]:
    """Return the nodes of a file that may have a docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)
    ]


def test_module_lists_are_complete() -> None:
    """The list of modules in a package's docstring matches the modules in the package."""
    for path in PACKAGES:
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        heads = re.findall(r"^- ((?:`[\w.]+`(?:, | and )?)+)", doc, re.MULTILINE)
        if not heads:
            continue
        listed = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
        folder = path.parent
        modules = {p.stem for p in folder.glob("*.py")} | {
            p.parent.name for p in folder.glob("*/*.py")
        }
        assert listed - modules == set(), f"{path}: no such module"
        mentioned = set(re.findall(r"`(\w+)[.\w]*`", doc))
        if "the other files" in doc:
            continue
        public = {name for name in modules if not name.startswith("_")}
        assert public - mentioned == set(), f"{path}: not in its list of modules"


def test_raises_sections_name_existing_errors() -> None:
    """Every class in a `Raises:` section is in `errors`, in the file or in Python."""
    for path in MODULES:
        defined = set(re.findall(r"\b\w+Error\b(?=[,\n(])", path.read_text("utf-8")))
        for node in documented_nodes(path):
            doc = ast.get_docstring(node) or ""  # type: ignore[arg-type]
            section = re.search(r"^Raises:\n((?: {4}.*\n?)+)", doc, re.MULTILINE)
            for line in section[1].splitlines() if section else ():
                if match := re.match(r" {4}((?:\w+Error(?:, )?)+):", line):
                    for name in match[1].split(", "):
                        known = hasattr(errors, name) or hasattr(builtins, name) or name in defined
                        assert known, f"{path}: {name}"


@pytest.mark.parametrize("name", hifigan_cli.__all__)
def test_public_names_have_docstrings(name: str) -> None:
    """The docstring of every public name starts with a complete sentence."""
    doc = getattr(hifigan_cli, name).__doc__
    assert doc
    assert re.match(r"[A-Z][^\n]+[.:]$", doc.strip().splitlines()[0]), doc
