"""Where a validation error stands, when it reaches its bar, and what is said of it."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.train_view import View, outlook, standing, training_view
from hifigan_cli.cli.train_view import describe as said
from hifigan_cli.config import Config, GeneratorConfig, MelConfig, TrainConfig
from hifigan_cli.config.presets import PRESETS
from hifigan_cli.reports.describe import describe
from hifigan_cli.training import meter, vocoder
from hifigan_cli.training.events import Logged, Validated
from hifigan_cli.training.loggers import read_entries
from hifigan_cli.training.progress import (
    OFFICIAL,
    Forecast,
    fit_line,
    forecast,
    official_training,
    stand,
)
from tests.training import small
from tests.training.runs import go, metrics, of

V1 = OFFICIAL["v1"]


def test_known_points_are_met_and_what_is_between_lies_on_the_logarithm() -> None:
    """Protects the curve: each official point gives its own steps, a midpoint the mean log step."""
    for step, error in V1.curve:
        assert stand(V1, error).official_steps == step
    middle = stand(V1, (0.234 + 0.218) / 2).official_steps
    assert middle == pytest.approx(math.sqrt(1e6 * 2e6), rel=1e-6)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_lower_error_never_stands_earlier(one: float, other: float) -> None:
    """Protects the order, and that nothing is claimed beyond the ends of what is known."""
    low, high = sorted((one, other))
    later, earlier = stand(V1, low).official_steps, stand(V1, high).official_steps
    if later is not None and earlier is not None:
        assert later >= earlier
    for error, steps in ((low, later), (high, earlier)):
        assert (steps is None) == (error > 0.287 or error < 0.214)
        assert stand(OFFICIAL["v2"], error).official_steps is None


def test_only_an_official_architecture_is_compared() -> None:
    """Protects custom configurations, other mels and `--overfit` from a curve not theirs."""
    for name, config in PRESETS.items():
        found = official_training(config)
        assert found is not None
        assert found.preset == name
    recipe = TrainConfig(batch_size=4, steps=10)
    assert official_training(Config(train=recipe)) is V1
    assert official_training(Config(generator=GeneratorConfig(upsample_initial_channel=64))) is None
    assert official_training(Config(mel=MelConfig(fmax=None))) is None
    assert official_training(Config(train=TrainConfig(overfit=2))) is None


def test_line_is_that_of_the_textbook() -> None:
    """Protects slope and standard error: Anscombe's first set, known to be 3.00, 0.500, 0.1179."""
    xs = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    ys = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    assert fit_line(xs, ys) == pytest.approx((3.0001, 0.5001, 0.1179), abs=1e-4)


def test_forecast_of_the_official_training_itself() -> None:
    """Protects the claim behind the forecast: V1's first half million steps tell when 0.23 comes.

    Validations as a run has them, read off the known curve. The curve has 0.23 at 1.19 M steps.
    """
    errors = [0.287, 0.281, 0.275, 0.267, 0.260, 0.253]
    points = [(stand(V1, error).official_steps or 0, error) for error in errors]
    found = forecast(points, 0.23, 10.0)
    assert found is not None
    assert found.step == pytest.approx(1.19e6, rel=0.15)
    assert found.left_s == pytest.approx((found.step - 500_000) / 10.0)


def falling(to: int, slope: float = 0.03) -> list[tuple[int, float]]:
    return [(step, 0.6 - slope * math.log(step)) for step in range(1000, to + 1, 1000)]


def test_nothing_is_foretold_where_nothing_is_known() -> None:
    """Protects honesty: too few, no fall, too far, reached already, no speed: no forecast."""
    points = falling(20_000)  # 0.303
    assert forecast(points, 0.29, 5.0) is not None
    assert forecast(points, 0.2, 5.0) is None  # 31 times the steps
    assert forecast(points, 0.31, 5.0) is None
    assert forecast(points, 0.29, 0.0) is None
    assert forecast(points[:4], 0.3, 5.0) is None
    assert forecast([], 0.3, 5.0) is None
    assert forecast(falling(20_000, slope=-0.03), 0.29, 5.0) is None
    noisy = [(step, 0.3 + 0.01 * (step // 1000 % 2)) for step, _ in points]
    assert forecast(noisy, 0.29, 5.0) is None


def validated(error: float, preset: str, foreseen: Forecast | None = None) -> Validated:
    place = stand(OFFICIAL[preset], error)
    return Validated(
        5, {"mel_l1_full": error}, 38, 1.0, best=True, standing=place, forecast=foreseen
    )


@pytest.mark.parametrize(
    ("error", "preset", "words"),
    [
        (0.9, "v1", "the official V1 was past this by 140 k steps (0.287); converged is 0.214"),
        (0.2, "v1", "no worse than the official V1, converged (0.214)"),
        (0.325, "v2", "no worse than the official V2, converged (0.325)"),
        (0.4, "v3", "0.055 above the official V3, converged (0.345)"),
    ],
)
def test_words_claim_what_is_known(error: float, preset: str, words: str) -> None:
    """Protects the sentence at each place on and off the curve."""
    assert standing(stand(OFFICIAL[preset], error), error).startswith(words)


@pytest.mark.usefixtures("small_discriminators")
def test_what_is_done_once_is_not_the_speed_of_a_step(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compilation takes a minute on a GPU; the clock stands still for it."""
    late_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s[0])
    monkeypatch.setattr(meter, "time", clock)
    monkeypatch.setattr(vocoder, "compile_networks", lambda *_: late_s.__setitem__(0, 1e6))
    events = go(prepared, tmp_path / "run", steps=2, log_every=2, compile=True)
    assert late_s[0]
    assert all(e.steps_per_s > 1e-5 for e in of(events, Logged))


def test_no_live_view_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours may be wanted there, a table that moves is not."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = Console()
    assert console.stderr.is_terminal  # as rich sees it
    with training_view(console) as view:
        assert isinstance(view, View)
        assert view._live is None


def test_outlook_adds_the_bar() -> None:
    """Protects the second half: the time to the bar while it is above, and that it is under."""
    foreseen = Forecast(0.23, 1_200_000, 7_200.0)
    assert outlook(validated(0.25, "v1", foreseen)).endswith(
        "in about 2:00:00, at step 1.2 M, at this pace"
    )
    assert "under the bar of its class (0.23)" in outlook(validated(0.22, "v1", foreseen))
    assert "bar" not in outlook(validated(0.25, "v1"))
    assert outlook(Validated(5, {"mel_l1_full": 0.3}, 38, 1.0, best=True)) == ""
    assert said(validated(0.25, "v1")).endswith(outlook(validated(0.25, "v1")))


@pytest.fixture
def _as_if_official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny test configuration pass for V3, whose training is known."""
    monkeypatch.setitem(PRESETS, "v3", small.config())


@pytest.mark.usefixtures("_as_if_official", "small_discriminators")
def test_run_says_where_it_stands_and_info_repeats_it(prepared: Path, tmp_path: Path) -> None:
    """Protects the way from the validation to the event, to metrics.jsonl, to `hifigan info`."""
    events = go(prepared, tmp_path / "run", steps=4, validate_every=2, learning_rate=0.05)
    found = of(events, Validated)
    assert [event.standing and event.standing.preset for event in found] == ["v3"] * 3
    lines = metrics(tmp_path / "run", "validation")
    assert [line["official_converged"] for line in lines] == [0.345] * 3
    facts = describe(tmp_path / "run").facts
    best = min(found, key=lambda event: event.metrics["mel_l1_full"])
    assert facts["best"] == {"step": best.step, "mel_l1_full": best.metrics["mel_l1_full"]}
    assert facts["mel_l1_full"] == found[-1].metrics["mel_l1_full"]
    assert facts["official_converged"] == 0.345
    assert facts["step"] == 4


@pytest.mark.usefixtures("_as_if_official", "small_discriminators")
def test_given_mels_and_overfit_are_not_compared(prepared: Path, tmp_path: Path) -> None:
    """Protects fine-tuning, whose mels are not the recordings', from a curve of another task."""
    mels = small.prepare(tmp_path / "mels", mels=True)
    for name, data, overfit in (("mels", mels, 0), ("overfit", prepared, 2)):
        events = go(data, tmp_path / name / "run", steps=1, overfit=overfit)
        found = of(events, Validated)
        assert [event.standing for event in found] == [None, None]


def test_entries_skip_a_line_that_a_kill_cut(tmp_path: Path) -> None:
    """Protects the history that a resumed run reads: whole lines only, and none without a file."""
    path = tmp_path / "metrics.jsonl"
    assert list(read_entries(path)) == []
    path.write_text('{"event": "train", "step": 1}\n{"event": "tr\n{"event": "train", "step": 2}')
    assert [entry["step"] for entry in read_entries(path)] == [1]
