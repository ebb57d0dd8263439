"""Packages that some metrics need; errors name the command that installs them."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Their requirements include libraries that scoring a clip never imports.
_WITHOUT_DEPENDENCIES = frozenset({"distillmos", "xls_r_sqa"})


def is_installed(package: str) -> bool:
    """Tell whether a package is installed, without running any of its code."""
    return importlib.util.find_spec(package) is not None


def missing_of(packages: Iterable[str]) -> tuple[str, ...]:
    """Return those of some packages that are not installed."""
    return tuple(package for package in packages if not is_installed(package))


def how_to_install(missing: Iterable[str]) -> str:
    """Return the pip commands that install missing packages.

    >>> how_to_install(("pesq", "pystoi"))
    "pip install 'hifigan-cli[evaluate]'"
    >>> how_to_install(("distillmos",))
    'pip install --no-deps distillmos xls-r-sqa'
    """
    commands = []
    if set(missing) - _WITHOUT_DEPENDENCIES:
        commands.append("pip install 'hifigan-cli[evaluate]'")
    if set(missing) & _WITHOUT_DEPENDENCIES:
        commands.append("pip install --no-deps distillmos xls-r-sqa")
    return " && ".join(commands)


def load(module: str) -> Any:
    """Import a module of a metric's package.

    Raises:
        UsageError: the package is not installed; the hint is the pip command.
    """
    package = module.partition(".")[0]
    if not is_installed(package):
        raise _not_installed(package)
    return importlib.import_module(module)


def folder_of(package: str) -> Path:
    """Return the folder of a package of which only data files are used.

    Raises:
        UsageError: it is not installed; the hint is the pip command.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(package)
    return Path(next(iter(spec.submodule_search_locations)))


def _not_installed(package: str) -> UsageError:
    return UsageError(f"the package {package} is not installed", how_to_install((package,)))
