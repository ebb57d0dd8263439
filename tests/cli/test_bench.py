"""`hifigan bench train` on networks of the paper's kinds, few rounds."""

from __future__ import annotations

import json

import pytest

from tests.training import small


def test_help_without_a_subcommand() -> None:
    """`hifigan bench` alone explains itself."""
    run = small.run("bench", "--help")
    assert run.returncode == 0
    assert "train" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "names"), [("--fp32", ["reference", "fast fp32"])])
def test_both_steps_are_measured(kind: str, names: list[str]) -> None:
    """One JSON object: each step's speed agrees with its ratio, and the gradients are equal."""
    sets = [part for key, value in small.GENERATOR.items() for part in ("--set", _set(key, value))]
    run = small.run("bench", "train", kind, "--steps", "2", "--threads", "1", "--json", *sets)
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert (line["schema"], line["event"], line["threads"]) == (1, "bench_train", 1)
    assert [step["name"] for step in line["steps"]] == names
    reference, fast = line["steps"]
    assert fast["ratio"] == pytest.approx(reference["step_s"] / fast["step_s"])
    assert fast["gflop"] < reference["gflop"]
    assert 0 < fast["peak_share"] < 1
    assert line["gradient_difference"] < 1e-3


def _set(key: str, value: object) -> str:
    return f"{key}={value}".replace("(", "[").replace(")", "]")
