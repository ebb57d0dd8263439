"""A fixture that reads untrusted files without a child process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.errors import ModelError
from hifigan_cli.importers import foreign_files
from hifigan_cli.io import untrusted_child
from hifigan_cli.io.untrusted import _load


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files with the child's readers and its two files, but in this process.

    A process takes seconds to import torch. `test_untrusted` tests the child process itself.
    """

    def read(kind: str, path: Path, *_: object) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            untrusted_child._write(Path(folder), untrusted_child.READERS[kind](path))
            return _load(Path(folder), str(path), ModelError, arrays=False)

    monkeypatch.setattr(foreign_files, "read_untrusted", read)
