"""Engine selection: the requested engine or the best available one, and its `doctor` rows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.data.preparation import PreparationOptions
from hifigan_cli.engines import native, onnx, selection
from hifigan_cli.engines.native import library
from hifigan_cli.engines.selection import EngineOptions, engine_device, select_engine
from hifigan_cli.errors import UsageError
from hifigan_cli.runtime import threads

STANDARD = GeneratorConfig()
UNUSUAL = GeneratorConfig.model_validate({"variant": {"slope": 0.2}})


@pytest.fixture
def available(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Simulate an installation that has the engines in this set, which a test can change."""
    engines = {"native", "onnx"}
    precisions = {"native": ("fp32", "int16"), "onnx": ("fp32",)}
    monkeypatch.setattr(
        selection, "unavailable_reason", lambda name: None if name in engines else "not built"
    )
    monkeypatch.setattr(selection, "_precisions", precisions.__getitem__)
    return engines


def test_auto_selects_the_best_available_engine(available: set[str]) -> None:
    """The order is native, onnx, torch; on other devices only torch runs."""
    chosen = []
    for name in ("native", "onnx", None):
        chosen.append(select_engine(EngineOptions(), "cpu", STANDARD))
        available.discard(str(name))
    assert chosen == ["native", "onnx", "torch"]
    available.update({"native", "onnx"})
    assert select_engine(EngineOptions(), "cuda:0", STANDARD) == "torch"
    assert select_engine(EngineOptions(precision="int16"), "cpu", STANDARD) == "native"
    assert select_engine(EngineOptions(precision="bf16"), "cpu", STANDARD) == "torch"
    assert select_engine(EngineOptions(), "cpu", UNUSUAL) == "onnx"
    available.discard("native")
    assert select_engine(EngineOptions(precision="int16"), "cpu", STANDARD) == "torch"


@pytest.mark.parametrize("name", ["native", "onnx"])
def test_unavailable_engine_is_rejected(available: set[str], name: str) -> None:
    """A requested engine is never silently replaced by another."""
    available.discard(name)
    with pytest.raises(UsageError, match=f"{name} engine.*not built") as caught:
        select_engine(EngineOptions(name), "cpu", STANDARD)
    assert "--engine" in (caught.value.hint or "")
    available.add(name)
    assert select_engine(EngineOptions(name), "cpu", STANDARD) == name


def test_unsupported_options_are_rejected(available: set[str]) -> None:
    """Unknown names, and devices and networks that an engine does not support, are errors."""
    with pytest.raises(UsageError, match="engine 'nativ'") as caught:
        EngineOptions("nativ")
    assert "native" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="precision 'fp64'"):
        EngineOptions(precision="fp64")
    with pytest.raises(UsageError, match="0 threads") as caught:
        EngineOptions(threads=0)
    assert "--threads" in (caught.value.hint or "")
    with pytest.raises(UsageError, match=r"native.*cuda:1"):
        engine_device(EngineOptions("native", device="cuda:1"))
    assert engine_device(EngineOptions("native")) == "cpu"
    with pytest.raises(UsageError, match="native"):
        select_engine(EngineOptions("native"), "cpu", UNUSUAL)


def test_available_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container's CPU quota limits the threads; OMP_NUM_THREADS overrides it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "_CGROUP", limit)
    assert threads.available_threads() == 8
    for text, expected in (("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1)):
        limit.write_text(text)
        assert threads.available_threads() == expected
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert threads.available_threads() == 5
    assert PreparationOptions().processes == 1  # OMP_NUM_THREADS does not affect processes


@pytest.mark.parametrize(
    ("best", "int16", "detail"),
    [
        ("avx512", "avx512vnni", "fp32 with AVX-512, int16 with AVX-512 VNNI"),
        ("avx2", None, "fp32 with AVX2, no int16: this processor lacks AVX-512 VNNI"),
    ],
)
def test_doctor_lists_the_instruction_sets(
    monkeypatch: pytest.MonkeyPatch, best: str, int16: str | None, detail: str
) -> None:
    """The row of an available engine lists the instruction set of each precision."""
    monkeypatch.setattr(native, "unavailable_reason", lambda: None)
    monkeypatch.setattr(onnx, "unavailable_reason", lambda: None)
    monkeypatch.setattr(library, "find_kernels", {"": best, "avx512vnni": int16}.get)
    row = selection.engine_checks()[0]
    assert (row.name, row.ok, row.detail, row.fix) == ("engine: native", True, detail, None)


def test_doctor_explains_missing_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of a missing engine has a reason and a fix, and is not a fault."""
    monkeypatch.setattr(native, "unavailable_reason", lambda: "it was not built")
    monkeypatch.setattr(onnx, "unavailable_reason", lambda: "onnx not installed: pip install it")
    rows = selection.engine_checks()
    assert [(row.ok, row.detail) for row in rows] == [
        (None, "it was not built"),
        (None, "onnx not installed"),
    ]
    assert "C++ compiler" in (rows[0].fix or "")
    assert rows[1].fix == "pip install it"


def test_outdated_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled library of another version is reported, and does not crash."""

    def outdated() -> None:
        raise AttributeError("undefined symbol: hifigan_push")

    monkeypatch.setattr(library, "load_library", outdated)
    assert "hifigan_push" in (selection.unavailable_reason("native") or "")
