"""What is published: the source distribution holds all that a build takes, and nothing else."""

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
_BUILT = re.compile(r"__pycache__|\.(so|pyd|pyc)$")


def setuptools_builds() -> bool:
    """Tell whether the setuptools that is here is one that pyproject.toml asks for."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names in the source distribution of this tree, without its first folder."""
    if not setuptools_builds():
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


def test_the_source_distribution_is_whole(packed: set[str]) -> None:
    """Every file of the package is in it, headers of the native engine too; no tests, no stray."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file())
    wanted = {str(path.relative_to(ROOT)) for path in files if not _BUILT.search(str(path))}
    assert {name for name in wanted if name.endswith((".h", ".inl", ".cpp"))}
    wanted |= {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO", "setup.cfg"}
    found = {name for name in packed if not name.startswith("hifigan_cli.egg-info/")}
    assert found == wanted


def test_headers_rebuild_the_native_engine() -> None:
    """A header that is not named beside the sources would be changed without a rebuild."""
    (module,) = PROJECT["tool"]["setuptools"]["ext-modules"]
    source = PACKAGE / "engines/native/source"
    for key, suffixes in (("sources", (".cpp",)), ("depends", (".h", ".inl"))):
        there = {str(p.relative_to(ROOT)) for p in source.iterdir() if p.suffix in suffixes}
        assert set(module[key]) == there


def test_the_version_is_told_from_one_place() -> None:
    """`--version`, the installed metadata and pyproject.toml agree; no file says it again."""
    told = PROJECT["project"]["version"]
    assert version("hifigan-cli") == told
    assert hifigan("--version").stdout == f"hifigan {told}\n"
    for path in PACKAGE.rglob("*.py"):
        assert f'"{told}"' not in path.read_text("utf-8"), path


def test_every_extra_that_is_named_exists() -> None:
    """An installation command in an error or a document names extras that there are."""
    extras = PROJECT["project"]["optional-dependencies"].keys()
    texts = [*PACKAGE.rglob("*.py"), ROOT / "README.md", *(ROOT / ".github").glob("*.md")]
    named = set[str]()
    for path in texts:
        for found in re.findall(r"hifigan-cli\[([\w,]+)\]", path.read_text("utf-8")):
            named |= set(found.split(","))
    assert named
    assert named <= extras


def test_folders_of_the_package_are_packages(packed: set[str]) -> None:
    """A folder without `__init__.py` would be left out of a wheel."""
    for folder in {Path(name).parent for name in packed if name.endswith(".py")}:
        assert f"{folder}/__init__.py" in packed, folder
