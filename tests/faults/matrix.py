"""The fault matrix as a table at the end of a test run: `50 of 50 rows`, each with its outcome.

A test belongs to row 7 if its name begins with `test_row_07_`. It may record the exit codes that it
saw with `record_property("exit_code", ...)`; the `cli` fixture does.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROWS = {
    1: "empty file",
    2: "header only, no samples",
    3: "one sample, or less than a window",
    4: "NaN or infinite samples",
    5: "float peak above full scale",
    6: "clipped, DC, silence",
    7: "8 to 64 bits, A-law, mu-law, ADPCM",
    8: "every container",
    9: "stereo, 5.1",
    10: "8 to 192 kHz, co-prime rates",
    11: "rate of 1 Hz or 2^31-1",
    12: "0, 1024 or 65535 channels",
    13: "header claims exabytes",
    14: "truncated WAV or MP3",
    15: "corrupt FLAC or Ogg",
    16: "wrong extension",
    17: "HTML, text, noise, zeros named .wav",
    18: "exotic containers",
    19: "folder, FIFO, device as input",
    20: "dangling or looping link",
    21: "unreadable file",
    22: "odd names",
    23: "output exists",
    24: "input is output",
    25: "read-only output folder",
    26: "disk full writing audio",
    27: "two runs on one output folder",
    28: "closed pipe downstream",
    29: "97 good and 3 bad files",
    30: "bad mel",
    31: "checkpoint truncated",
    32: "one bit flipped in a checkpoint",
    33: "malicious pickle",
    34: "checkpoint and config disagree",
    35: "official weight-norm names",
    36: "every checkpoint bad",
    37: "kill -9 while training",
    38: "kill -9 during a save",
    39: "SIGTERM, SIGINT, second SIGINT",
    40: "disk full during a save",
    41: "NaN loss or gradient",
    42: "out of memory",
    43: "a data worker dies or raises",
    44: "a rank dies under torchrun",
    45: "another world size at resume",
    46: "data changed since preprocess",
    47: "preprocess killed",
    48: "torch and torchaudio do not pair",
    49: "no CUDA with --gpu 0",
    50: "bad configuration",
}
EXIT_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 143)
_NAME = re.compile(r"::test_row_(\d\d)_")
_WORST = ("failed", "skipped", "passed")


@dataclass
class Row:
    """What the tests of one row came to."""

    outcomes: list[str] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    took_s: float = 0.0

    @property
    def outcome(self) -> str:
        """The worst of its tests' outcomes."""
        return next((word for word in _WORST if word in self.outcomes), "not run")


class MatrixReport:
    """Collects the rows' outcomes, from all workers, and prints them."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.kills: Counter[str] = Counter()  # of tests that passed, by command

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a finished phase of a test."""
        if report.when == "call" and report.outcome == "passed":
            for name, told in report.user_properties:
                if name == "kills":
                    number, command = str(told).split()
                    self.kills[command] += int(number)
        found = _NAME.search(report.nodeid)
        if found is None:
            return
        row = self.rows.setdefault(int(found[1]), Row())
        row.took_s += report.duration
        if report.when == "call" or report.outcome != "passed":
            row.outcomes.append(report.outcome)
        if report.when == "teardown":
            row.codes |= {int(str(v)) for name, v in report.user_properties if name == "exit_code"}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, if any row was tested, and the kills."""
        out = terminalreporter
        if self.kills:
            each = ", ".join(f"{command} {number}" for command, number in self.kills.items())
            out.section(f"{self.kills.total()} kills -9 in mid-work: {each}")
        if not self.rows:
            return
        out.section("fault matrix")
        for number, title in ROWS.items():
            row = self.rows.get(number, Row())
            codes = " ".join(str(code) for code in sorted(row.codes))
            out.write_line(
                f"{number:3}  {title:38} {row.outcome:8} {len(row.outcomes):2} tests "
                f"{row.took_s:6.1f} s  exit {codes}"
            )
        held = sum(self.rows.get(number, Row()).outcome == "passed" for number in ROWS)
        seen = {code for row in self.rows.values() for code in row.codes}
        missing = [str(code) for code in EXIT_CODES if code not in seen]
        out.write_line(
            f"{held} of {len(ROWS)} rows hold; exit codes seen: "
            f"{' '.join(map(str, sorted(seen)))}"
            + (f"; not seen: {' '.join(missing)}" if missing else "")
        )
