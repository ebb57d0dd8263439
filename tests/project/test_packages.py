"""Test the source distribution, the version and the extras."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.helpers import ROOT, hifigan

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGE = ROOT / "hifigan_cli"
_BUILD_OUTPUT = re.compile(r"__pycache__|\.(so|pyd|pyc)$")


def has_required_setuptools() -> bool:
    """Return whether the installed setuptools has the version that pyproject.toml requires."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="module")
def distributed_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names in the source distribution of this tree, without its first folder."""
    if not has_required_setuptools():
        pytest.skip("needs setuptools 77 or later")
    folder = tmp_path_factory.mktemp("sdist")
    tree = folder / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyc", "*.egg-info")
    for name in ("hifigan_cli", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    script = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tree, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        return {member.name.partition("/")[2] for member in content if member.isfile()}


def test_source_distribution_is_complete(distributed_files: set[str]) -> None:
    """The archive has all files of the package, including C++ headers, but no tests or others."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file())
    expected = {
        str(path.relative_to(ROOT)) for path in files if not _BUILD_OUTPUT.search(str(path))
    }
    assert {name for name in expected if name.endswith((".h", ".inl", ".cpp"))}
    expected |= {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO", "setup.cfg"}
    actual = {name for name in distributed_files if not name.startswith("hifigan_cli.egg-info/")}
    assert actual == expected


def test_headers_are_build_dependencies() -> None:
    """Without its entry, a changed header would not rebuild the native engine."""
    (module,) = PROJECT["tool"]["setuptools"]["ext-modules"]
    source = PACKAGE / "engines/native/source"
    for key, suffixes in (("sources", (".cpp",)), ("depends", (".h", ".inl"))):
        files = {str(p.relative_to(ROOT)) for p in source.iterdir() if p.suffix in suffixes}
        assert set(module[key]) == files


def test_version_has_one_source() -> None:
    """`--version`, the metadata and pyproject.toml agree; no other file has the version."""
    declared = PROJECT["project"]["version"]
    assert version("hifigan-cli") == declared
    assert hifigan("--version").stdout == f"hifigan {declared}\n"
    for path in PACKAGE.rglob("*.py"):
        assert f'"{declared}"' not in path.read_text("utf-8"), path


def test_named_extras_exist() -> None:
    """Every extra in an installation command of an error or a document exists."""
    extras = PROJECT["project"]["optional-dependencies"].keys()
    texts = [*PACKAGE.rglob("*.py"), ROOT / "README.md", *(ROOT / ".github").glob("*.md")]
    mentioned = set[str]()
    for path in texts:
        for extra_list in re.findall(r"hifigan-cli\[([\w,]+)\]", path.read_text("utf-8")):
            mentioned |= set(extra_list.split(","))
    assert mentioned
    assert mentioned <= extras


def test_distributed_folders_are_packages(distributed_files: set[str]) -> None:
    """A wheel would not have a folder without `__init__.py`."""
    for folder in {Path(name).parent for name in distributed_files if name.endswith(".py")}:
        assert f"{folder}/__init__.py" in distributed_files, folder
