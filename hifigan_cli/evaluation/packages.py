"""Import the optional packages of metrics; errors name the command that installs them."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Their dependencies include libraries that are not needed to score a clip.
_WITHOUT_DEPENDENCIES = frozenset({"distillmos", "xls_r_sqa"})


def is_installed(package: str) -> bool:
    """Return whether a package is installed, without running its code."""
    return importlib.util.find_spec(package) is not None


def missing_packages(packages: Iterable[str]) -> tuple[str, ...]:
    """Return the packages that are not installed."""
    return tuple(package for package in packages if not is_installed(package))


def install_command(missing: Iterable[str]) -> str:
    """Return the pip commands that install missing packages.

    >>> install_command(("pesq", "pystoi"))
    "pip install 'hifigan-cli[evaluate]'"
    >>> install_command(("distillmos",))
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


def package_folder(package: str) -> Path:
    """Return the folder of a package whose data files are used without importing it.

    Raises:
        UsageError: the package is not installed; the hint is the pip command.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(package)
    return Path(next(iter(spec.submodule_search_locations)))


def _not_installed(package: str) -> UsageError:
    return UsageError(f"the package {package} is not installed", install_command((package,)))
