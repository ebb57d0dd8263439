"""Comparing the validation error with the official training, forecasts, and their descriptions."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.train_view import (
    TrainingView,
    describe_comparison,
    describe_event,
    describe_progress,
    training_view,
)
from hifigan_cli.config import Config, GeneratorConfig, MelConfig, TrainConfig
from hifigan_cli.config.presets import PRESETS
from hifigan_cli.reports.describe import describe
from hifigan_cli.training import meter, vocoder
from hifigan_cli.training.events import Logged, Validated
from hifigan_cli.training.loggers import read_entries
from hifigan_cli.training.progress import (
    OFFICIAL_TRAININGS,
    Forecast,
    compare_with_official,
    fit_line,
    forecast,
    official_training,
)
from tests.training import small
from tests.training.runs import metrics, of_type, train_run

V1 = OFFICIAL_TRAININGS["v1"]


def test_official_steps_are_interpolated_logarithmically() -> None:
    """Check that each official point has its own steps, and a midpoint the mean log step."""
    for step, error in V1.curve:
        assert compare_with_official(V1, error).official_steps == step
    middle = compare_with_official(V1, (0.234 + 0.218) / 2).official_steps
    assert middle == pytest.approx(math.sqrt(1e6 * 2e6), rel=1e-6)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_official_steps_are_monotonic(first: float, second: float) -> None:
    """Check that a lower error has more steps, and errors outside the curve have none."""
    low, high = sorted((first, second))
    later, earlier = (
        compare_with_official(V1, low).official_steps,
        compare_with_official(V1, high).official_steps,
    )
    if later is not None and earlier is not None:
        assert later >= earlier
    for error, steps in ((low, later), (high, earlier)):
        assert (steps is None) == (error > 0.287 or error < 0.214)
        assert compare_with_official(OFFICIAL_TRAININGS["v2"], error).official_steps is None


def test_only_official_configurations_are_compared() -> None:
    """Check that custom generators, other mels and `--overfit` have no official training."""
    for name, config in PRESETS.items():
        official = official_training(config)
        assert official is not None
        assert official.preset == name
    recipe = TrainConfig(batch_size=4, steps=10)
    assert official_training(Config(train=recipe)) is V1
    assert official_training(Config(generator=GeneratorConfig(upsample_initial_channel=64))) is None
    assert official_training(Config(mel=MelConfig(fmax=None))) is None
    assert official_training(Config(train=TrainConfig(overfit=2))) is None


def test_fit_line_matches_a_textbook_example() -> None:
    """Check Anscombe's first data set: intercept 3.00, slope 0.500, standard error 0.1179."""
    xs = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    ys = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    assert fit_line(xs, ys) == pytest.approx((3.0001, 0.5001, 0.1179), abs=1e-4)


def test_forecast_of_the_official_training() -> None:
    """Check that the first 500 k steps of the official V1 predict when its error is 0.23.

    The official curve reaches 0.23 at 1.19 M steps.
    """
    errors = [0.287, 0.281, 0.275, 0.267, 0.260, 0.253]
    points = [(compare_with_official(V1, error).official_steps or 0, error) for error in errors]
    result = forecast(points, 0.23, 10.0)
    assert result is not None
    assert result.step == pytest.approx(1.19e6, rel=0.15)
    assert result.remaining_s == pytest.approx((result.step - 500_000) / 10.0)


def falling_errors(steps: int, slope: float = 0.03) -> list[tuple[int, float]]:
    return [(step, 0.6 - slope * math.log(step)) for step in range(1000, steps + 1, 1000)]


def test_unreliable_forecasts_are_none() -> None:
    """Check too few points, no fall, too far ahead, already reached, no speed, and noise."""
    points = falling_errors(20_000)  # 0.303
    assert forecast(points, 0.29, 5.0) is not None
    assert forecast(points, 0.2, 5.0) is None  # 31 times the steps
    assert forecast(points, 0.31, 5.0) is None
    assert forecast(points, 0.29, 0.0) is None
    assert forecast(points[:4], 0.3, 5.0) is None
    assert forecast([], 0.3, 5.0) is None
    assert forecast(falling_errors(20_000, slope=-0.03), 0.29, 5.0) is None
    noisy = [(step, 0.3 + 0.01 * (step // 1000 % 2)) for step, _ in points]
    assert forecast(noisy, 0.29, 5.0) is None


def validated(error: float, preset: str, expected: Forecast | None = None) -> Validated:
    comparison = compare_with_official(OFFICIAL_TRAININGS[preset], error)
    return Validated(
        5, {"mel_l1_full": error}, 38, 1.0, best=True, comparison=comparison, forecast=expected
    )


@pytest.mark.parametrize(
    ("error", "preset", "facts"),
    [
        (0.9, "v1", ("official V1", "140 k steps", "0.287", "0.214")),
        (0.2, "v1", ("official V1", "0.214")),
        (0.325, "v2", ("official V2", "0.325")),
        (0.4, "v3", ("official V3", "0.345")),
    ],
)
def test_comparison_names_preset_and_errors(
    error: float, preset: str, facts: tuple[str, ...]
) -> None:
    """Check the facts in the description of errors on and off the official curve."""
    comparison = compare_with_official(OFFICIAL_TRAININGS[preset], error)
    text = describe_comparison(comparison, error)
    assert all(fact in text for fact in facts), text
    assert len(re.findall(r"\d\.\d+", text)) == sum("." in fact for fact in facts)


@pytest.mark.usefixtures("small_discriminators")
def test_compile_time_is_not_part_of_the_speed(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that the speed excludes compilation, which takes a minute on a GPU."""
    delay_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + delay_s[0])
    monkeypatch.setattr(meter, "time", clock)
    monkeypatch.setattr(vocoder, "compile_networks", lambda *_: delay_s.__setitem__(0, 1e6))
    events = train_run(prepared, tmp_path / "run", steps=2, log_every=2, compile=True)
    assert delay_s[0]
    assert all(e.steps_per_s > 1e-5 for e in of_type(events, Logged))


def test_no_live_view_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that FORCE_COLOR does not turn on the live table."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = Console()
    assert console.stderr.is_terminal  # according to rich
    with training_view(console) as view:
        assert isinstance(view, TrainingView)
        assert view._live is None


def test_describe_progress_reports_the_threshold() -> None:
    """Check that the forecast is described only for an error above the threshold."""
    expected = Forecast(0.23, 1_200_000, 7_200.0)
    above = describe_progress(validated(0.25, "v1", expected))
    below = describe_progress(validated(0.22, "v1", expected))
    assert all(fact in above for fact in ("threshold 0.23", "2:00:00", "1.2 M")), above
    assert "threshold 0.23" in below
    assert "1.2 M" not in below
    assert "threshold" not in describe_progress(validated(0.25, "v1"))
    assert describe_progress(Validated(5, {"mel_l1_full": 0.3}, 38, 1.0, best=True)) == ""
    assert describe_event(validated(0.25, "v1")).endswith(describe_progress(validated(0.25, "v1")))


@pytest.fixture
def _as_if_official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the tiny test configuration as V3, whose official error is known."""
    monkeypatch.setitem(PRESETS, "v3", small.config())


@pytest.mark.usefixtures("_as_if_official", "small_discriminators")
def test_comparison_is_reported_and_logged(prepared: Path, tmp_path: Path) -> None:
    """Check the comparison in the events, in metrics.jsonl and in `hifigan info`."""
    events = train_run(prepared, tmp_path / "run", steps=4, validate_every=2, learning_rate=0.05)
    validations = of_type(events, Validated)
    assert [event.comparison and event.comparison.preset for event in validations] == ["v3"] * 3
    lines = metrics(tmp_path / "run", "validation")
    assert [line["official_converged"] for line in lines] == [0.345] * 3
    facts = describe(tmp_path / "run").facts
    best = min(validations, key=lambda event: event.metrics["mel_l1_full"])
    assert facts["best"] == {"step": best.step, "mel_l1_full": best.metrics["mel_l1_full"]}
    assert facts["mel_l1_full"] == validations[-1].metrics["mel_l1_full"]
    assert facts["official_converged"] == 0.345
    assert facts["step"] == 4


@pytest.mark.usefixtures("_as_if_official", "small_discriminators")
def test_input_mels_and_overfit_are_not_compared(prepared: Path, tmp_path: Path) -> None:
    """Check that fine-tuning on input mels is not compared with the official training."""
    mels = small.prepare(tmp_path / "mels", mels=True)
    for name, data, overfit in (("mels", mels, 0), ("overfit", prepared, 2)):
        events = train_run(data, tmp_path / name / "run", steps=1, overfit=overfit)
        assert [event.comparison for event in of_type(events, Validated)] == [None, None]


def test_read_entries_skips_incomplete_lines(tmp_path: Path) -> None:
    """Check the history that a resumed run reads: only complete lines, and none without a file."""
    path = tmp_path / "metrics.jsonl"
    assert list(read_entries(path)) == []
    path.write_text('{"event": "train", "step": 1}\n{"event": "tr\n{"event": "train", "step": 2}')
    assert [entry["step"] for entry in read_entries(path)] == [1]
