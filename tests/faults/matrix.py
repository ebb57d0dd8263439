"""Print the fault matrix at the end of a test run: 50 rows, each with its outcome.

"Row 7" in a docstring means row 7 of `ROWS`. The test of a row has a name that starts with
`test_row_07_`. It may record exit codes with `record_property("exit_code", ...)`, as the `cli`
fixture does.
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
    10: "8 to 192 kHz (tested rates), co-prime rates",
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
    45: "other world size at resume",
    46: "data changed since preprocess",
    47: "preprocess killed",
    48: "torch and torchaudio do not match",
    49: "no CUDA with --gpu 0",
    50: "bad configuration",
}
EXIT_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 143)
_NAME = re.compile(r"::test_row_(\d\d)_")
_OUTCOMES = ("failed", "skipped", "passed")  # worst first


@dataclass
class Row:
    """The results of the tests of one row."""

    outcomes: list[str] = field(default_factory=list)
    exit_codes: set[int] = field(default_factory=set)
    duration_s: float = 0.0

    @property
    def outcome(self) -> str:
        """The worst outcome of its tests."""
        return next((outcome for outcome in _OUTCOMES if outcome in self.outcomes), "not run")


class MatrixReport:
    """Collects the outcomes of the rows from all workers, and prints them."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.kills: Counter[str] = Counter()  # in passed tests, by command

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a finished phase of a test."""
        if report.when == "call" and report.outcome == "passed":
            for name, value in report.user_properties:
                if name == "kills":
                    number, command = str(value).split()
                    self.kills[command] += int(number)
        match = _NAME.search(report.nodeid)
        if match is None:
            return
        row = self.rows.setdefault(int(match[1]), Row())
        row.duration_s += report.duration
        if report.when == "call" or report.outcome != "passed":
            row.outcomes.append(report.outcome)
        if report.when == "teardown":
            properties = report.user_properties
            row.exit_codes |= {int(str(value)) for name, value in properties if name == "exit_code"}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, if any row was tested, and the number of kills."""
        out = terminalreporter
        if self.kills:
            counts = ", ".join(f"{command} {number}" for command, number in self.kills.items())
            out.section(f"{self.kills.total()} kills -9 of running commands: {counts}")
        if not self.rows:
            return
        out.section("fault matrix")
        for number, title in ROWS.items():
            row = self.rows.get(number, Row())
            codes = " ".join(str(code) for code in sorted(row.exit_codes))
            out.write_line(
                f"{number:3}  {title:38} {row.outcome:8} {len(row.outcomes):2} tests "
                f"{row.duration_s:6.1f} s  exit {codes}"
            )
        passed = sum(self.rows.get(number, Row()).outcome == "passed" for number in ROWS)
        seen = {code for row in self.rows.values() for code in row.exit_codes}
        missing = [str(code) for code in EXIT_CODES if code not in seen]
        out.write_line(
            f"{passed} of {len(ROWS)} rows passed; exit codes seen: "
            f"{' '.join(map(str, sorted(seen)))}"
            + (f"; not seen: {' '.join(missing)}" if missing else "")
        )
