"""Every row of the fault matrix has a test, and every such test has a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from hifigan_cli import errors
from tests.faults.matrix import EXIT_CODES, ROWS, MatrixReport, Row

FOLDER = Path(__file__).parent


def rows_of_tests() -> set[int]:
    """Return the row numbers in the names of the tests."""
    names = {
        node.name
        for path in FOLDER.glob("test_row_*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    matches = (re.match(r"test_row_(\d\d)_", name) for name in names)
    return {int(match[1]) for match in matches if match}


def test_every_row_has_a_test() -> None:
    """All fifty rows have a test; the table would not show that one is missing."""
    assert list(ROWS) == list(range(1, 51))
    assert rows_of_tests() == set(ROWS)


def test_every_exit_code_is_known() -> None:
    """`EXIT_CODES` has the exit codes of all errors, and no others."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {cls.exit_code for cls in classes if issubclass(cls, errors.HifiganError)}
    assert set(EXIT_CODES) == codes | {0, 143}


def test_row_has_the_worst_outcome() -> None:
    """A row fails if one of its tests fails."""
    assert Row(["passed", "failed", "skipped"]).outcome == "failed"
    assert Row(["passed", "skipped"]).outcome == "skipped"
    assert Row(["passed"]).outcome == "passed"
    assert Row().outcome == "not run"
    assert MatrixReport().rows == {}
