"""Mutated files cause no crash, traceback, hang or unlimited use of memory."""

from __future__ import annotations

import pytest

from tests.faults.fuzz.supervisor import Findings, run_cases

MAX_MB = 500  # above that of the imports
FAST = {"audio": 2_000, "mel": 500, "model": 500, "config": 400, "cli": 60}
LONG = {"audio": 20_000, "mel": 3_000, "model": 2_000, "config": 2_000, "cli": 300}


def check(findings: Findings, cases: int) -> None:
    """Check that all cases have run, without a fault, in limited memory."""
    print(findings)
    assert findings.faults == [], findings
    assert findings.cases == cases
    assert findings.above_import_mb < MAX_MB


@pytest.mark.parametrize("kind", FAST)
def test_mutated_files(kind: str) -> None:
    """The same cases in each run."""
    check(run_cases(kind, 0, FAST[kind]), FAST[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_many_more_mutated_files(kind: str) -> None:
    """More cases, with other numbers."""
    check(run_cases(kind, 100_000, 100_000 + LONG[kind]), LONG[kind])


def test_supervisor_records_crashes_and_hangs() -> None:
    """A crash, a hang and an exception are faults with their case number, of one case each."""
    findings = run_cases("faulty", 0, 6, max_case_s=2)
    assert findings.cases == 6
    assert len(findings.faults) == 3
    hang, crash, error = findings.faults
    assert hang.startswith("faulty 1: ")
    assert crash.startswith("faulty 3: ")
    assert "-11" in crash
    assert error.startswith("faulty 4: ZeroDivisionError")
    assert findings.outcomes == {"read": 3}
