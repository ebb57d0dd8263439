"""What the doctor says of engines: with what instructions they run, or why not, and the fix."""

from __future__ import annotations

import pytest

from hifigan_cli.engines import choose as choosing
from hifigan_cli.engines import native, onnx
from hifigan_cli.engines.native import library


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that both engines are there."""
    for module in (native, onnx):
        monkeypatch.setattr(module, "missing", lambda: None)


@pytest.mark.parametrize(
    ("best", "integers", "told"),
    [
        ("avx512", "avx512vnni", "fp32 with AVX-512, int16 with AVX-512 VNNI"),
        ("avx2", None, "fp32 with AVX2, no int16: this processor has no AVX-512 VNNI"),
    ],
)
def test_the_instructions(
    monkeypatch: pytest.MonkeyPatch, best: str, integers: str | None, told: str
) -> None:
    """Guard the row of an engine that is there: what this processor has, precision by precision."""
    monkeypatch.setattr(library, "kernels", {"": best, "avx512vnni": integers}.get)
    row = choosing.engine_checks()[0]
    assert (row.name, row.ok, row.detail, row.fix) == ("engine: native", True, told, None)


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the rows of engines that are not: the reason and what to install; no fault."""
    monkeypatch.setattr(native, "missing", lambda: "it was not built")
    monkeypatch.setattr(onnx, "missing", lambda: "onnx not installed: pip install it")
    rows = choosing.engine_checks()
    assert [(row.ok, row.detail) for row in rows] == [
        (None, "it was not built"),
        (None, "onnx not installed"),
    ]
    assert "C++ compiler" in (rows[0].fix or "")
    assert rows[1].fix == "pip install it"


def test_a_library_of_other_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard against a compiled library that is older than this code: it is named, not a crash."""
    monkeypatch.undo()

    def stale() -> None:
        raise AttributeError("undefined symbol: hifigan_push")

    monkeypatch.setattr(library, "library", stale)
    assert "another version" in (choosing.missing("native") or "")
