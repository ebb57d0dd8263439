"""Reading without a child process, for tests of what is made of a file's content."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.importers.loading import untrusted
from hifigan_cli.io.untrusted import child, plain


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files with the child's own readers and through its two files, but in this process.

    A process takes seconds to import torch; what it does for safety, `test_untrusted` tests.
    """

    def read(kind: str, path: Path) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            plain.write_plain(Path(folder), child.READERS[kind](path))
            return plain.read_plain(Path(folder))

    monkeypatch.setattr(untrusted, "_by_child", read)
