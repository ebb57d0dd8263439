"""Which engine runs: what is asked for, else the best that there is; what the doctor says of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.data.preparation import PreparationOptions
from hifigan_cli.engines import choose as choosing
from hifigan_cli.engines import native, onnx
from hifigan_cli.engines.choose import EngineOptions, choose, place
from hifigan_cli.engines.native import library
from hifigan_cli.errors import UsageError
from hifigan_cli.runtime import threads

STANDARD = GeneratorConfig()
UNUSUAL = GeneratorConfig.model_validate({"variant": {"slope": 0.2}})


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Pretend that an installation has the engines of a set that a test may change."""
    there = {"native", "onnx"}
    precisions = {"native": ("fp32", "int16"), "onnx": ("fp32",)}
    monkeypatch.setattr(choosing, "missing", lambda name: None if name in there else "not built")
    monkeypatch.setattr(choosing, "_precisions", precisions.__getitem__)
    return there


def test_the_best_that_there_is(having: set[str]) -> None:
    """Guard the order: native, onnx, torch; and torch alone on other devices."""
    chosen = []
    for name in ("native", "onnx", None):
        chosen.append(choose(EngineOptions(), "cpu", STANDARD))
        having.discard(str(name))
    assert chosen == ["native", "onnx", "torch"]
    having.update({"native", "onnx"})
    assert choose(EngineOptions(), "cuda:0", STANDARD) == "torch"
    assert choose(EngineOptions(precision="int16"), "cpu", STANDARD) == "native"
    assert choose(EngineOptions(precision="bf16"), "cpu", STANDARD) == "torch"
    assert choose(EngineOptions(), "cpu", UNUSUAL) == "onnx"
    having.discard("native")
    assert choose(EngineOptions(precision="int16"), "cpu", STANDARD) == "torch"


@pytest.mark.parametrize("name", ["native", "onnx"])
def test_what_is_missing_is_said(having: set[str], name: str) -> None:
    """Guard that an engine that was asked for is never replaced by another in silence."""
    having.discard(name)
    with pytest.raises(UsageError, match=f"no {name} engine: not built") as caught:
        choose(EngineOptions(name), "cpu", STANDARD)
    assert "--engine" in (caught.value.hint or "")
    having.add(name)
    assert choose(EngineOptions(name), "cpu", STANDARD) == name


def test_misfits(having: set[str]) -> None:
    """Guard names, devices and networks that an engine does not have."""
    with pytest.raises(UsageError, match="unknown engine 'nativ'") as caught:
        EngineOptions("nativ")
    assert "did you mean native" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="unknown precision"):
        EngineOptions(precision="fp64")
    with pytest.raises(UsageError, match="0 threads"):
        EngineOptions(threads=0)
    with pytest.raises(UsageError, match="runs on the CPU, not on cuda:1"):
        place(EngineOptions("native", device="cuda:1"))
    assert place(EngineOptions("native")) == "cpu"
    with pytest.raises(UsageError, match="official slopes"):
        choose(EngineOptions("native"), "cpu", UNUSUAL)


def test_threads_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guard containers: no more threads than they have processors' time; OMP_NUM_THREADS rules."""
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
    assert PreparationOptions().processes == 1  # of preprocess; threads are no matter of it


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
    monkeypatch.setattr(native, "missing", lambda: None)
    monkeypatch.setattr(onnx, "missing", lambda: None)
    monkeypatch.setattr(library, "kernels", {"": best, "avx512vnni": integers}.get)
    row = choosing.engine_checks()[0]
    assert (row.name, row.ok, row.detail, row.fix) == ("engine: native", True, told, None)


def test_what_the_doctor_misses(monkeypatch: pytest.MonkeyPatch) -> None:
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

    def stale() -> None:
        raise AttributeError("undefined symbol: hifigan_push")

    monkeypatch.setattr(library, "library", stale)
    assert "another version" in (choosing.missing("native") or "")
