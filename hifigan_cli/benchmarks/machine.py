"""On what a measurement was made: without it the figures mean little."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from hifigan_cli.runtime.environment import processor

_PACKAGES = ("hifigan-cli", "torch", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Machine:
    """A processor, the software on it, and what else it was doing.

    Attributes:
        processor: its name.
        cores: that the system sees.
        load: processes that wanted to run, on the mean of the last minute, before measuring.
        versions: of Python and of the packages that compute.
    """

    processor: str
    cores: int
    load: float
    versions: dict[str, str]


def describe_machine() -> Machine:
    """Describe this machine as it is now."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Machine(processor(), os.cpu_count() or 1, round(os.getloadavg()[0], 2), versions)
