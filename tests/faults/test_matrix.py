"""Every row of the fault matrix has its test, and no test belongs to a row that there is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from hifigan_cli import errors
from tests.faults.matrix import EXIT_CODES, ROWS, MatrixReport, Row

FOLDER = Path(__file__).parent


def rows_of_tests() -> set[int]:
    """Return the rows that tests are named after."""
    names = {
        node.name
        for path in FOLDER.glob("test_row_*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    found = (re.match(r"test_row_(\d\d)_", name) for name in names)
    return {int(match[1]) for match in found if match}


def test_every_row_has_a_test() -> None:
    """Protects the fifty of fifty: a row without a test would not be missed in the table."""
    assert list(ROWS) == list(range(1, 51))
    assert rows_of_tests() == set(ROWS)


def test_every_exit_code_is_known() -> None:
    """Protects the table of exit codes: those of all errors, and no other."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.HifiganError)}
    assert set(EXIT_CODES) == codes | {0, 143}


def test_the_worst_outcome_counts() -> None:
    """Protects the table from a row of which one test failed and others passed."""
    assert Row(["passed", "failed", "skipped"]).outcome == "failed"
    assert Row(["passed", "skipped"]).outcome == "skipped"
    assert Row(["passed"]).outcome == "passed"
    assert Row().outcome == "not run"
    assert MatrixReport().rows == {}
