"""Docstrings that code can check: tours name what is there, `Raises` names errors that exist.

ruff holds that every public module, class and function has one.
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
TOURS = sorted(path for path in PACKAGE.rglob("__init__.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))


def described(path: Path) -> list[ast.AST]:
    """Return what in a file may have a docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)
    ]


def test_tours_name_what_is_there() -> None:
    """Guard the order of reading: each module that a package's docstring lists exists in it, and
    none of the package's own is left out of a list."""
    for path in TOURS:
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        heads = re.findall(r"^- ((?:`[\w.]+`(?:, | and )?)+)", doc, re.MULTILINE)
        if not heads:
            continue
        listed = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
        here = path.parent
        there = {p.stem for p in here.glob("*.py")} | {p.parent.name for p in here.glob("*/*.py")}
        assert listed - there == set(), f"{path}: no such module"
        mentioned = set(re.findall(r"`(\w+)[.\w]*`", doc))
        if "the other files" in doc:
            continue
        own = {name for name in there if not name.startswith("_")}
        assert own - mentioned == set(), f"{path}: not in its tour"


def test_raises_names_errors_that_exist() -> None:
    """Guard what a caller catches: every class under `Raises:` is ours, the file's or Python's."""
    for path in MODULES:
        own = set(re.findall(r"\b\w+Error\b(?=[,\n(])", path.read_text("utf-8")))
        for node in described(path):
            doc = ast.get_docstring(node) or ""  # type: ignore[arg-type]
            section = re.search(r"^Raises:\n((?: {4}.*\n?)+)", doc, re.MULTILINE)
            for line in section[1].splitlines() if section else ():
                if found := re.match(r" {4}((?:\w+Error(?:, )?)+):", line):
                    for name in found[1].split(", "):
                        known = hasattr(errors, name) or hasattr(builtins, name) or name in own
                        assert known, f"{path}: {name}"


@pytest.mark.parametrize("name", hifigan_cli.__all__)
def test_what_is_offered_says_what_it_does(name: str) -> None:
    """Guard `help()` of the package's own names: a sentence with a full stop, not a leftover."""
    doc = getattr(hifigan_cli, name).__doc__
    assert doc
    assert re.match(r"[A-Z][^\n]+[.:]$", doc.strip().splitlines()[0]), doc
