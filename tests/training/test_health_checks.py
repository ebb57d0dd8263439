"""Health checks: persistent problems are reported once, with advice; healthy runs have none."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.train_view import TrainingView
from hifigan_cli.config import TrainConfig
from hifigan_cli.data import open_prepared
from hifigan_cli.models import Generator
from hifigan_cli.models.discriminators import DiscriminatorOutput, PeriodDiscriminator
from hifigan_cli.training import health_checks
from hifigan_cli.training.events import HealthWarning
from hifigan_cli.training.health_checks import (
    DISCRIMINATOR_NAMES,
    LOG_PATIENCE,
    RISE_WINDOW,
    VALIDATION_PATIENCE,
    HealthChecks,
)
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms
from hifigan_cli.training.validation import (
    DiscriminatorStatistics,
    ValidationSet,
    mean_statistics,
    validate,
)
from tests.training import small
from tests.training.runs import (
    CPU,
    SINGLE_PROCESS,
    checkpoint,
    differing_tensors,
    metrics,
    of_type,
    train_run,
)

STEPS = 100_000


def healthy_metrics(seed: int, index: int = 0) -> dict[str, float]:
    """Return varying validation metrics of a healthy run."""
    rng = random.Random(seed * 10_000 + index)
    values = {"mel_l1_full": 0.3 + rng.gauss(0, 0.003), "level_db": rng.gauss(-0.2, 0.2)}
    for name in DISCRIMINATOR_NAMES:
        values |= {
            f"{name}.real": rng.uniform(0.15, 0.3),
            f"{name}.fake": rng.uniform(0.1, 0.25),
            f"{name}.spread": rng.uniform(0.05, 0.4),
        }
    return values


def train_metrics(**changes: float) -> dict[str, float]:
    healthy = {"learning_rate": 2e-4, "discriminator": 3.1, "discriminator_gradient": 4.0}
    return healthy | changes


def check_series(
    checks: HealthChecks, series: list[dict[str, float]], first: int = 1000
) -> list[HealthWarning]:
    """Check validations that are 1000 steps apart; return the warnings."""
    return [
        warning
        for index, values in enumerate(series)
        for warning in checks.check("validation", first + 1000 * index, values)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_healthy_run_has_no_warnings(seed: int) -> None:
    """Check 100 validations on a noisy plateau, and losses near chance."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    assert check_series(checks, [healthy_metrics(seed, index) for index in range(100)]) == []
    for step in range(600, 1600, 10):
        assert (
            checks.check("train", step, train_metrics(discriminator=3.9 - 0.001 * (step % 7))) == []
        )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"period_3.real": 1.0, "period_3.fake": 0.0, "period_3.spread": 0.0}, "period_3_is_dead"),
        ({"scale_2.real": 0.25, "scale_2.fake": 0.25, "scale_2.spread": 1e-3}, "scale_2_is_dead"),
        ({"scale_1.real": 0.01, "scale_1.fake": 0.02, "scale_1.spread": 0.5}, "scale_1_wins"),
    ],
)
def test_failing_discriminator_is_reported_once(values: dict[str, float], kind: str) -> None:
    """Check dead and winning discriminators; chance is not a problem."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    series = [healthy_metrics(1, index) | values for index in range(VALIDATION_PATIENCE + 5)]
    warnings = check_series(checks, series)
    assert [warning.kind for warning in warnings] == [kind]
    assert warnings[0].step == 1000 * VALIDATION_PATIENCE
    assert "--init" in warnings[0].hint
    # A relapse is reported only after a long recovery.
    assert check_series(checks, [healthy_metrics(1, 50), *series]) == []
    recovered = [healthy_metrics(1, index) for index in range(VALIDATION_PATIENCE)]
    assert [warning.kind for warning in check_series(checks, [*recovered, *series])] == [kind]


def test_short_problems_are_not_reported() -> None:
    """Check single unusual validations."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    dead = {"period_3.spread": 0.0}
    series = [
        healthy_metrics(2, index) | (dead if index % VALIDATION_PATIENCE else {})
        for index in range(30)
    ]
    assert check_series(checks, series) == []


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"discriminator": 0.1}, "discriminators_win"),
        ({"discriminator_gradient": 1e-6}, "discriminator_gradient"),
    ],
)
def test_training_losses_are_checked(values: dict[str, float], kind: str) -> None:
    """Check runs without validation clips, and discriminators that memorized the data."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    warnings = [
        (step, warning.kind)
        for step in range(10, 2000, 10)
        for warning in checks.check("train", step, train_metrics(**values))
    ]
    assert warnings == [(health_checks.GRACE_STEPS + 10 * (LOG_PATIENCE - 1), kind)]


@pytest.mark.parametrize("lr", [2e-4, 1e-3])
def test_collapsed_learning_rate_is_reported(lr: float) -> None:
    """Check below 1 % of the initial value, while 10 % of the steps remain."""
    checks = HealthChecks(TrainConfig(steps=STEPS, learning_rate=lr))
    assert checks.check("train", 10, train_metrics(learning_rate=lr * 0.011)) == []
    (warning,) = checks.check("train", 20, train_metrics(learning_rate=lr * 0.009))
    assert warning.kind == "learning_rate"
    assert "99,980" in warning.message
    assert "lr_decay_steps" in warning.hint
    assert checks.check("train", 30, train_metrics(learning_rate=lr * 0.009)) == []
    late = HealthChecks(TrainConfig(steps=STEPS, learning_rate=lr))
    assert late.check("train", 95_000, train_metrics(learning_rate=lr * 0.009)) == []


def with_errors(errors: list[float]) -> list[dict[str, float]]:
    return [healthy_metrics(4, i) | {"mel_l1_full": error} for i, error in enumerate(errors)]


@pytest.mark.parametrize("seed", [5, 6])
def test_rising_error_is_reported_with_the_best_step(seed: int) -> None:
    """Check overfitting: the error falls to 0.30 at step 10 000, then slowly rises with noise."""
    rng = random.Random(seed)
    falling = [0.4 - 0.01 * index for index in range(1, 11)]
    rising = [0.301 + 0.002 * i + rng.gauss(0, 0.001) for i in range(1, 3 * RISE_WINDOW)]
    checks = HealthChecks(TrainConfig(steps=STEPS))
    (warning,) = check_series(checks, with_errors(falling + rising))
    assert "10,000" in warning.message
    assert "0.3000" in warning.message
    assert warning.step >= 10_000 + RISE_WINDOW * 1000
    # After a better validation a new rise is reported again.
    second = [0.29, *(error - 0.005 for error in rising)]
    assert [w.kind for w in check_series(checks, with_errors(second), 40_000)] == [
        "validation_rises_since_40000"
    ]


def test_plateau_is_not_a_rise() -> None:
    """Check 2000 noisy validations of a converged run, the best of which is long ago."""
    rng = random.Random(7)
    values = [0.22, *(0.222 + rng.gauss(0, 0.0015) for _ in range(2000))]
    assert check_series(HealthChecks(TrainConfig(steps=STEPS)), with_errors(values)) == []


def validation_entries(series: list[dict[str, float]]) -> list[dict[str, Any]]:
    return [
        {"event": "validation", "step": 1000 * (index + 1), **values}
        for index, values in enumerate(series)
    ]


@pytest.mark.parametrize("stop", range(1, 9))
def test_resumed_checks_report_the_same_warnings(stop: int) -> None:
    """Check that no warning is lost or repeated, wherever a run stopped."""
    dead = {"period_3.spread": 0.0}
    series = [healthy_metrics(8, i) | (dead if i in {2, 3, 4, 5} else {}) for i in range(9)]
    expected = check_series(HealthChecks(TrainConfig(steps=STEPS)), series)
    assert [warning.step for warning in expected] == [5000]
    warnings = check_series(HealthChecks(TrainConfig(steps=STEPS)), series[:stop])
    logged = [{"event": "warning", "step": w.step, "kind": w.kind} for w in warnings]
    entries = [*validation_entries(series[:stop]), *logged, {"event": "new in a later version"}]
    resumed = HealthChecks(TrainConfig(steps=STEPS), entries)
    assert warnings + check_series(resumed, series[stop:], 1000 * (stop + 1)) == expected
    assert resumed.validations == [
        (1000 * (index + 1), values["mel_l1_full"]) for index, values in enumerate(series)
    ]


@pytest.fixture
def _no_grace_steps(monkeypatch: pytest.MonkeyPatch, small_discriminators: None) -> None:
    """Apply the checks from the first step on."""
    monkeypatch.setattr(health_checks, "GRACE_STEPS", 1)


RECIPE: dict[str, Any] = {"steps": 8, "validate_every": 1, "learning_rate": 2e-3}


@pytest.mark.usefixtures("_no_grace_steps")
def test_dead_discriminator_of_a_real_run_is_reported(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check event and metrics of a run in which one of eight discriminators always scores 0.

    A resumed run reports it once too, and is bit-identical.
    """
    original = PeriodDiscriminator.forward

    def forward(self: PeriodDiscriminator, samples: Tensor) -> DiscriminatorOutput:
        scores, feature_maps = original(self, samples)
        return DiscriminatorOutput(scores * (self.period != 3), feature_maps)

    monkeypatch.setattr(PeriodDiscriminator, "forward", forward)
    # After a few steps the scores of the others hardly differ either.
    monkeypatch.setattr(health_checks, "MIN_SCORE_SPREAD", 1e-4)
    events = train_run(prepared, tmp_path / "uninterrupted", **RECIPE)
    for steps in (VALIDATION_PATIENCE + 1, 8):
        train_run(prepared, tmp_path / "resumed", **{**RECIPE, "steps": steps})
    dead = [e for e in of_type(events, HealthWarning) if e.kind.endswith("_is_dead")]
    assert [(event.kind, event.step) for event in dead] == [
        ("period_3_is_dead", VALIDATION_PATIENCE)
    ]
    warnings = [metrics(tmp_path / name, "warning") for name in ("uninterrupted", "resumed")]
    assert warnings[0] == warnings[1]
    assert [w["step"] for w in warnings[0] if w["kind"] == "period_3_is_dead"] == [
        VALIDATION_PATIENCE
    ]
    validation = metrics(tmp_path / "uninterrupted", "validation")[-1]
    assert validation["period_3.real"] == 1
    assert validation["period_3.fake"] == validation["period_3.spread"] == 0
    assert (
        differing_tensors(
            *(checkpoint(tmp_path / name, 8) for name in ("uninterrupted", "resumed"))
        )
        == []
    )


@pytest.mark.usefixtures("_no_grace_steps")
@pytest.mark.parametrize("level", [0.0, 0.7])
def test_silent_or_constant_output_is_reported(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: float
) -> None:
    """Check a generator with silent and one with constant output."""
    generate = Generator.forward

    def forward(self: Generator, mel: Tensor) -> Tensor:
        return generate(self, mel) * 1e-6 + level

    train_run(prepared, tmp_path / "healthy", **RECIPE | {"steps": 3})
    monkeypatch.setattr(Generator, "forward", forward)
    events = train_run(prepared, tmp_path / "run", **RECIPE | {"steps": 3})
    kinds = [event.kind for event in of_type(events, HealthWarning)]
    assert kinds.count("silent_generator") == 1
    levels = [line["level_db"] for line in metrics(tmp_path / "run", "validation")]
    assert max(levels) < -80
    assert min(line["level_db"] for line in metrics(tmp_path / "healthy", "validation")) > max(
        levels
    )


@pytest.mark.usefixtures("small_discriminators")
def test_statistics_are_the_terms_of_the_loss(prepared: Path) -> None:
    """Check the means of the loss terms and the standard deviation of the scores."""
    config = small.config()
    state = VocoderState(config, CPU)
    statistics = DiscriminatorStatistics()
    torch.manual_seed(9)
    clips = [(torch.randn(1024), torch.randn(1024)) for _ in range(2)]
    for clip in clips:
        statistics.add(state, *clip)
    statistics.add(state, torch.zeros(500), torch.zeros(500))  # shorter than a segment: ignored
    means = mean_statistics(statistics.sums())
    parts = ("real", "fake", "spread")
    assert list(means) == [f"{name}.{part}" for name in DISCRIMINATOR_NAMES for part in parts]
    state.mpd.eval()
    state.msd.eval()
    y, y_hat = (torch.stack(part)[:, None] for part in zip(*clips, strict=True))
    outputs = ([*state.mpd(x), *state.msd(x)] for x in (y, y_hat))
    for name, out_y, out_y_hat in zip(DISCRIMINATOR_NAMES, *outputs, strict=True):
        assert means[f"{name}.real"] == pytest.approx(
            ((1 - out_y.scores) ** 2).mean().item(), rel=1e-4
        )
        assert means[f"{name}.fake"] == pytest.approx((out_y_hat.scores**2).mean().item(), rel=1e-4)
        both = torch.cat([out_y.scores.flatten(), out_y_hat.scores.flatten()])
        assert means[f"{name}.spread"] == pytest.approx(both.std(correction=0).item(), rel=1e-3)
    assert mean_statistics(DiscriminatorStatistics().sums()) == {}


@pytest.mark.usefixtures("small_discriminators")
def test_validation_does_not_change_the_training_state(prepared: Path) -> None:
    """Check weights, the vectors of spectral norm, and the random state."""
    config = small.config()
    state = VocoderState(config, CPU)
    networks = {name: getattr(state, name) for name in ("generator", "mpd", "msd")}
    before = copy.deepcopy({name: net.state_dict() for name, net in networks.items()})
    random_state = torch.get_rng_state()
    validation_set, mels = (
        ValidationSet(open_prepared(prepared), config),
        mel_transforms(config, CPU),
    )
    result = validate(state, validation_set, mels, SINGLE_PROCESS)
    assert result is not None
    assert {f"{name}.real" for name in DISCRIMINATOR_NAMES} < result.details.keys()
    for name, network in networks.items():
        assert network.training, name
        assert all(torch.equal(v, before[name][k]) for k, v in network.state_dict().items()), name
    assert torch.equal(torch.get_rng_state(), random_state)


def test_warning_is_printed_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Check stderr, also with --quiet, and the object with --json."""
    event = HealthWarning(7000, "learning_rate", "it has fallen", "raise it")
    TrainingView(Console(quiet=True))(event)
    TrainingView(Console(json=True))(event)
    output = capsys.readouterr()
    assert output.err.splitlines() == ["warning: step 7,000: it has fallen; raise it"] * 2
    assert '"event": "warning", "step": 7000, "kind": "learning_rate"' in output.out
