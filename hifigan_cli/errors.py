"""The exceptions of the package, as one tree; each class has its exit code.

::

    HifiganError                1   any other failure
    ├── UsageError              2   an option or a configuration value
    ├── InputError              3   a file or stream that cannot be used
    │   ├── EmptyError              a file without content
    │   ├── NotAudioError           a file of another type
    │   ├── DamagedError            a file that is cut short or changed since it was written
    │   └── NotFiniteError          NaN or infinite samples
    ├── OutputError             4   an output path that cannot be written
    ├── ModelError              5   a model file or checkpoint
    ├── BatchError              6   some files of many failed
    ├── DivergedError           7   training produced numbers that are not finite
    ├── DeviceError             8   a device or its memory
    ├── BelowThresholdError     1   an evaluation that misses its threshold
    └── InterruptedRunError   130   stopped by a signal (143 for SIGTERM)

Every error has a message that describes the failure and, if a fix is known, a hint. The code that
raises the error writes both; only the command line prints them.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class HifiganError(Exception):
    """The base class: `message` describes the failure, `hint` how to fix it."""

    exit_code: int = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HifiganError):
    """An option or a configuration value cannot be used."""

    exit_code = 2


class InputError(HifiganError):
    """A file or a stream cannot be used."""

    exit_code = 3


class EmptyError(InputError):
    """A file has no bytes, or no samples."""


class NotAudioError(InputError):
    """A file does not contain audio."""


class DamagedError(InputError):
    """A file was cut short, or changed since it was written."""


class NotFiniteError(InputError):
    """A recording has NaN or infinite samples."""


class OutputError(HifiganError):
    """A result cannot be written to the output path."""

    exit_code = 4


class ModelError(HifiganError):
    """A model file or checkpoint is missing, damaged, or of another architecture."""

    exit_code = 5


class BatchError(HifiganError):
    """Some of many files failed; the others succeeded."""

    exit_code = 6


class DivergedError(HifiganError):
    """Training produced a loss or a gradient that is not finite."""

    exit_code = 7


class DeviceError(HifiganError):
    """The requested device is missing or out of memory."""

    exit_code = 8


class BelowThresholdError(HifiganError):
    """An evaluation misses its threshold."""

    exit_code = 1


class InterruptedRunError(HifiganError):
    """A signal stopped the run, which saved its progress first."""

    exit_code = 130

    def __init__(self, message: str, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean ...?" for a mistyped word, or an empty string.

    >>> did_you_mean("batchsize", ["batch_size", "steps"])
    'did you mean batch_size?'
    >>> did_you_mean("zzz", ["batch_size"])
    ''
    """
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]}?" if matches else ""
