"""No crash, no traceback, no hang, no memory without bound, whatever the bytes."""

from __future__ import annotations

import pytest

from tests.faults.fuzz.watch import Findings, watched

MOST_MB = 500  # above what the imports take
FAST = {"audio": 2_000, "mel": 500, "model": 500, "config": 400, "cli": 60}
LONG = {"audio": 20_000, "mel": 3_000, "model": 2_000, "config": 2_000, "cli": 300}


def sound(findings: Findings, cases: int) -> None:
    """Check what every range of cases must come to."""
    print(findings)
    assert findings.faults == [], findings
    assert findings.cases == cases
    assert findings.above_import_mb < MOST_MB


@pytest.mark.parametrize("kind", FAST)
def test_mutated_files(kind: str) -> None:
    """The same cases each time, as many as the figures ask for."""
    sound(watched(kind, 0, FAST[kind]), FAST[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_many_more_mutated_files(kind: str) -> None:
    """Other cases, and more."""
    sound(watched(kind, 100_000, 100_000 + LONG[kind]), LONG[kind])


def test_a_crash_and_a_hang_are_named() -> None:
    """Protects the watch itself: each costs one case, is named by its number, and is a fault."""
    findings = watched("trap", 0, 6, most_s=2)
    assert findings.cases == 6
    assert len(findings.faults) == 3
    hang, crash, error = findings.faults
    assert hang == "trap 1: no end within 2 s"
    assert crash.startswith("trap 3: the process ended with -11")
    assert error.startswith("trap 4: ZeroDivisionError at")
    assert findings.outcomes == {"read": 3}
