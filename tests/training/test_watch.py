"""The signs of trouble: told when they last, once, with a remedy; and never of a sound run."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.train_view import View
from hifigan_cli.config import TrainConfig
from hifigan_cli.data import open_prepared
from hifigan_cli.models import Generator
from hifigan_cli.models.discriminators import DiscriminatorOutput, PeriodDiscriminator
from hifigan_cli.training import health_checks
from hifigan_cli.training.events import Warned
from hifigan_cli.training.health_checks import DISCRIMINATORS, LOGS, LONG, VALIDATIONS, HealthChecks
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms
from hifigan_cli.training.validation import (
    DiscriminatorStatistics,
    Utterances,
    statistics_of,
    validate,
)
from tests.training import small
from tests.training.runs import ALONE, CPU, checkpoint, differing, go, metrics, of

STEPS = 100_000


def healthy(seed: int, at: int = 0) -> dict[str, float]:
    """Return figures of a validation such as a sound run has; none of them stands still."""
    rng = random.Random(seed * 10_000 + at)
    found = {"mel_l1_full": 0.3 + rng.gauss(0, 0.003), "level_db": rng.gauss(-0.2, 0.2)}
    for name in DISCRIMINATORS:
        found |= {
            f"{name}.real": rng.uniform(0.15, 0.3),
            f"{name}.fake": rng.uniform(0.1, 0.25),
            f"{name}.spread": rng.uniform(0.05, 0.4),
        }
    return found


def logged(**other: float) -> dict[str, float]:
    usual = {"learning_rate": 2e-4, "discriminator": 3.1, "discriminator_gradient": 4.0}
    return usual | other


def shown(checks: HealthChecks, series: list[dict[str, float]], first: int = 1000) -> list[Warned]:
    """Let a checks see validations a thousand steps apart; return what it said."""
    return [
        warning
        for place, figures in enumerate(series)
        for warning in checks.see("validation", first + 1000 * place, figures)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sound_run_is_left_in_peace(seed: int) -> None:
    """Protects against crying wolf: a plateau with noise, losses near chance, for 100 reports."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    assert shown(checks, [healthy(seed, at) for at in range(100)]) == []
    for step in range(600, 1600, 10):
        assert checks.see("train", step, logged(discriminator=3.9 - 0.001 * (step % 7))) == []


@pytest.mark.parametrize(
    ("figures", "kind"),
    [
        ({"period_3.real": 1.0, "period_3.fake": 0.0, "period_3.spread": 0.0}, "period_3_is_dead"),
        ({"scale_2.real": 0.25, "scale_2.fake": 0.25, "scale_2.spread": 1e-3}, "scale_2_is_dead"),
        ({"scale_1.real": 0.01, "scale_1.fake": 0.02, "scale_1.spread": 0.5}, "scale_1_wins"),
    ],
)
def test_discriminator_in_trouble_is_named_once(figures: dict[str, float], kind: str) -> None:
    """Protects the criterion against the values of the least-squares loss; chance is no trouble."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    series = [healthy(1, at) | figures for at in range(VALIDATIONS + 5)]
    found = shown(checks, series)
    assert [warning.kind for warning in found] == [kind]
    assert found[0].step == 1000 * VALIDATIONS  # as soon as it has lasted
    assert "--init" in found[0].hint
    # A short recovery is none; a long one is, and then a relapse is told.
    assert shown(checks, [healthy(1, 50), *series]) == []
    recovered = [healthy(1, at) for at in range(VALIDATIONS)]
    assert [warning.kind for warning in shown(checks, [*recovered, *series])] == [kind]


def test_trouble_that_does_not_last_is_none() -> None:
    """Protects against one odd validation."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    dead = {"period_3.spread": 0.0}
    series = [healthy(2, at) | (dead if at % VALIDATIONS else {}) for at in range(30)]
    assert shown(checks, series) == []


@pytest.mark.parametrize(
    ("figures", "kind"),
    [
        ({"discriminator": 0.1}, "discriminators_win"),
        ({"discriminator_gradient": 1e-6}, "discriminator_gradient"),
    ],
)
def test_losses_of_the_steps_are_watched_too(figures: dict[str, float], kind: str) -> None:
    """Protects runs without validation clips, and discriminators that know all by heart."""
    checks = HealthChecks(TrainConfig(steps=STEPS))
    said = [
        (step, warning.kind)
        for step in range(10, 2000, 10)
        for warning in checks.see("train", step, logged(**figures))
    ]
    assert said == [(health_checks.SETTLED + 10 * (LOGS - 1), kind)]


@pytest.mark.parametrize("rate", [2e-4, 1e-3])
def test_collapsed_learning_rate_is_told_while_it_matters(rate: float) -> None:
    """Protects mistake 9: said below a hundredth of the start, with a tenth of the steps to go."""
    checks = HealthChecks(TrainConfig(steps=STEPS, learning_rate=rate))
    assert checks.see("train", 10, logged(learning_rate=rate * 0.011)) == []
    (warning,) = checks.see("train", 20, logged(learning_rate=rate * 0.009))
    assert warning.kind == "learning_rate"
    assert "99,980 steps" in warning.message
    assert "lr_decay_steps" in warning.hint
    assert checks.see("train", 30, logged(learning_rate=rate * 0.009)) == []
    late = HealthChecks(TrainConfig(steps=STEPS, learning_rate=rate))
    assert late.see("train", 95_000, logged(learning_rate=rate * 0.009)) == []


def errors(values: list[float]) -> list[dict[str, float]]:
    return [healthy(4, at) | {"mel_l1_full": value} for at, value in enumerate(values)]


@pytest.mark.parametrize("seed", [5, 6])
def test_rising_validation_names_the_best_step(seed: int) -> None:
    """Protects the sign of overfitting: after the fall to 0.30 at step 10 000 a slow noisy rise."""
    rng = random.Random(seed)
    fall = [0.4 - 0.01 * at for at in range(1, 11)]
    rise = [0.301 + 0.002 * at + rng.gauss(0, 0.001) for at in range(1, 3 * LONG)]
    checks = HealthChecks(TrainConfig(steps=STEPS))
    (warning,) = shown(checks, errors(fall + rise))
    assert "step 10,000" in warning.message
    assert "0.3000" in warning.message
    assert warning.step >= 10_000 + LONG * 1000
    # A better one ends it; a new rise is new.
    again = [0.29, *(value - 0.005 for value in rise)]
    assert [w.kind for w in shown(checks, errors(again), 40_000)] == [
        "validation_rises_since_40000"
    ]


def test_plateau_is_no_rise() -> None:
    """Protects a converged run: 2000 noisy validations, of which the best is long ago."""
    rng = random.Random(7)
    values = [0.22, *(0.222 + rng.gauss(0, 0.0015) for _ in range(2000))]
    assert shown(HealthChecks(TrainConfig(steps=STEPS)), errors(values)) == []


def lines(figures: list[dict[str, float]]) -> list[dict[str, Any]]:
    return [
        {"event": "validation", "step": 1000 * (at + 1), **values}
        for at, values in enumerate(figures)
    ]


@pytest.mark.parametrize("stop", range(1, 9))
def test_resumed_watch_says_what_the_uninterrupted_one_says(stop: int) -> None:
    """Protects resumes: wherever it stopped, nothing is told twice and nothing is lost."""
    dead = {"period_3.spread": 0.0}
    figures = [healthy(8, at) | (dead if at in {2, 3, 4, 5} else {}) for at in range(9)]
    whole = shown(HealthChecks(TrainConfig(steps=STEPS)), figures)
    assert [warning.step for warning in whole] == [5000]
    said = shown(HealthChecks(TrainConfig(steps=STEPS)), figures[:stop])
    warned = [{"event": "warning", "step": w.step, "kind": w.kind} for w in said]
    entries = [*lines(figures[:stop]), *warned, {"event": "new in a later version"}]
    second = HealthChecks(TrainConfig(steps=STEPS), entries)
    assert said + shown(second, figures[stop:], 1000 * (stop + 1)) == whole
    assert second.validations == [
        (1000 * (at + 1), values["mel_l1_full"]) for at, values in enumerate(figures)
    ]


@pytest.fixture
def _settled(monkeypatch: pytest.MonkeyPatch, small_discriminators: None) -> None:
    """Let signs count from the first step, in runs of a few steps."""
    monkeypatch.setattr(health_checks, "SETTLED", 1)


RECIPE: dict[str, Any] = {"steps": 8, "validate_every": 1, "learning_rate": 2e-3}


@pytest.mark.usefixtures("_settled")
def test_dead_discriminator_of_a_real_run_is_found_and_no_other(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the whole way: one of eight answers 0 to everything; event and record name it.

    The same run stopped in the middle says it once as well, and ends in the same bits.
    """
    judge = PeriodDiscriminator.forward

    def forward(self: PeriodDiscriminator, samples: Tensor) -> DiscriminatorOutput:
        scores, feature_maps = judge(self, samples)
        return DiscriminatorOutput(scores * (self.period != 3), feature_maps)

    monkeypatch.setattr(PeriodDiscriminator, "forward", forward)
    monkeypatch.setattr(health_checks, "SAME", 1e-4)  # a few steps do not make the others outspoken
    events = go(prepared, tmp_path / "whole", **RECIPE)
    for steps in (VALIDATIONS + 1, 8):
        go(prepared, tmp_path / "parts", **{**RECIPE, "steps": steps})
    dead = [e for e in of(events, Warned) if e.kind.endswith("_is_dead")]
    assert [(event.kind, event.step) for event in dead] == [("period_3_is_dead", VALIDATIONS)]
    records = [metrics(tmp_path / name, "warning") for name in ("whole", "parts")]
    assert records[0] == records[1]
    assert [r["step"] for r in records[0] if r["kind"] == "period_3_is_dead"] == [VALIDATIONS]
    validation = metrics(tmp_path / "whole", "validation")[-1]
    assert validation["period_3.real"] == 1
    assert validation["period_3.fake"] == validation["period_3.spread"] == 0
    assert differing(*(checkpoint(tmp_path / name, 8) for name in ("whole", "parts"))) == []


@pytest.mark.usefixtures("_settled")
@pytest.mark.parametrize("level", [0.0, 0.7])
def test_silent_and_constant_generators_are_found(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: float
) -> None:
    """Protects the ear's first finding: nothing comes out, or a constant that no one hears."""
    generate = Generator.forward

    def forward(self: Generator, mel: Tensor) -> Tensor:
        return generate(self, mel) * 1e-6 + level

    go(prepared, tmp_path / "sound", **RECIPE | {"steps": 3})
    monkeypatch.setattr(Generator, "forward", forward)
    events = go(prepared, tmp_path / "run", **RECIPE | {"steps": 3})
    kinds = [event.kind for event in of(events, Warned)]
    assert kinds.count("silent_generator") == 1
    levels = [line["level_db"] for line in metrics(tmp_path / "run", "validation")]
    assert max(levels) < -80
    assert min(line["level_db"] for line in metrics(tmp_path / "sound", "validation")) > max(levels)


@pytest.mark.usefixtures("small_discriminators")
def test_statistics_are_the_terms_of_the_loss(prepared: Path) -> None:
    """Protects their meaning: over all eight they sum to the discriminators' loss of a segment."""
    config = small.config()
    state = VocoderState(config, CPU)
    statistics = DiscriminatorStatistics()
    torch.manual_seed(9)
    clips = [(torch.randn(1024), torch.randn(1024)) for _ in range(2)]
    for clip in clips:
        statistics.add(state, *clip)
    statistics.add(state, torch.zeros(500), torch.zeros(500))  # shorter than a segment: left out
    found = statistics_of(statistics.sums())
    parts = ("real", "fake", "spread")
    assert list(found) == [f"{name}.{part}" for name in DISCRIMINATORS for part in parts]
    state.mpd.eval()
    state.msd.eval()
    real, fake = (torch.stack(part)[:, None] for part in zip(*clips, strict=True))
    outputs = ([*state.mpd(y), *state.msd(y)] for y in (real, fake))
    for name, r, f in zip(DISCRIMINATORS, *outputs, strict=True):
        assert found[f"{name}.real"] == pytest.approx(((1 - r.scores) ** 2).mean().item(), rel=1e-4)
        assert found[f"{name}.fake"] == pytest.approx((f.scores**2).mean().item(), rel=1e-4)
        both = torch.cat([r.scores.flatten(), f.scores.flatten()])
        assert found[f"{name}.spread"] == pytest.approx(both.std(correction=0).item(), rel=1e-3)
    assert statistics_of(DiscriminatorStatistics().sums()) == {}


@pytest.mark.usefixtures("small_discriminators")
def test_validation_changes_nothing_that_is_trained(prepared: Path) -> None:
    """Protects bit-identical training under any `validate_every`: spectral norm's vectors rest."""
    config = small.config()
    state = VocoderState(config, CPU)
    networks = {name: getattr(state, name) for name in ("generator", "mpd", "msd")}
    before = copy.deepcopy({name: net.state_dict() for name, net in networks.items()})
    random_state = torch.get_rng_state()
    utterances, mels = Utterances(open_prepared(prepared), config), mel_transforms(config, CPU)
    found = validate(state, utterances, mels, ALONE)
    assert found is not None
    assert {f"{name}.real" for name in DISCRIMINATORS} < found.details.keys()
    for name, network in networks.items():
        assert network.training, name
        assert all(torch.equal(v, before[name][k]) for k, v in network.state_dict().items()), name
    assert torch.equal(torch.get_rng_state(), random_state)


def test_warning_is_printed_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects what the user sees: on stderr even when quiet, as an object with --json."""
    event = Warned(7000, "learning_rate", "it has fallen", "raise it")
    View(Console(quiet=True))(event)
    View(Console(json=True))(event)
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["warning: step 7,000: it has fallen; raise it"] * 2
    assert '"event": "warning", "step": 7000, "kind": "learning_rate"' in shown.out
