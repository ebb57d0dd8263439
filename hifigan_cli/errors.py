"""What can go wrong, as one tree; each kind has its exit code.

::

    HifiganError                1   a bug of ours, or no better name
    ├── UsageError              2   an option or a configuration value
    ├── InputError              3   a file or stream that cannot be used
    │   ├── EmptyError              nothing in it
    │   ├── NotAudioError           content of another kind
    │   ├── DamagedError            cut short, or changed since it was written
    │   └── NotFiniteError          samples that are not numbers
    ├── OutputError             4   a place that cannot be written
    ├── ModelError              5   a model file or checkpoint
    ├── BatchError              6   some files of many failed
    ├── DivergedError           7   training produced numbers that are not finite
    ├── DeviceError             8   a device or its memory
    ├── BelowThresholdError     1   an evaluation that misses the threshold it was checked against
    └── InterruptedRunError   130   stopped by a signal (143 for SIGTERM)

Every error carries what happened and, where one is known, the fix. Raising code writes both; only
the command line prints them.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class HifiganError(Exception):
    """The root: `message`, and `hint`, one sentence that says how to fix it."""

    exit_code: int = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HifiganError):
    """An option or a configuration value cannot be used."""

    exit_code = 2


class InputError(HifiganError):
    """A file or a stream cannot be read as what it should be."""

    exit_code = 3


class EmptyError(InputError):
    """A file has no bytes, or no samples."""


class NotAudioError(InputError):
    """A file holds something other than audio."""


class DamagedError(InputError):
    """A file was cut short, or changed since it was written."""


class NotFiniteError(InputError):
    """A recording has samples that are not numbers."""


class OutputError(HifiganError):
    """A result cannot be written where it was asked for."""

    exit_code = 4


class ModelError(HifiganError):
    """A model file or checkpoint is missing, damaged, or of another architecture."""

    exit_code = 5


class BatchError(HifiganError):
    """Some of many files failed; the others were done."""

    exit_code = 6


class DivergedError(HifiganError):
    """Training produced a loss or a gradient that is not finite."""

    exit_code = 7


class DeviceError(HifiganError):
    """The device asked for is absent or out of memory."""

    exit_code = 8


class BelowThresholdError(HifiganError):
    """An evaluation misses the threshold it was checked against; it has no code of its own."""

    exit_code = 1


class InterruptedRunError(HifiganError):
    """A signal stopped the run after it had saved what it had."""

    exit_code = 130

    def __init__(self, message: str, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number


def closest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" for a mistyped word, or an empty string.

    >>> closest("batchsize", ["batch_size", "steps"])
    'did you mean batch_size?'
    >>> closest("zzz", ["batch_size"])
    ''
    """
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]}?" if matches else ""
