"""The list of metrics: what each is called, which package it needs, and what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from hifigan_cli.errors import UsageError, closest
from hifigan_cli.evaluation.metrics.cepstral import cepstral_distortion
from hifigan_cli.evaluation.metrics.intelligibility import pesq_wideband, stoi
from hifigan_cli.evaluation.metrics.levels import high_bias, silence_delta
from hifigan_cli.evaluation.metrics.opinions import distillmos, dnsmos
from hifigan_cli.evaluation.metrics.packages import how_to_install, missing_of
from hifigan_cli.evaluation.metrics.pitch import pitch_errors
from hifigan_cli.evaluation.metrics.spectral import log_magnitude, mel_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hifigan_cli.evaluation.metrics.pair import Pair

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Column:
    """One figure of a clip.

    Attributes:
        name: as in CSV and JSON.
        title: as people read it.
        unit: of the figure, or an empty string.
        better: where good lies: `lower`, `higher` or at `zero`.
        digits: after the decimal point, in tables.
    """

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher", "zero"]
    digits: int = 3


@dataclass(frozen=True)
class Measure:
    """A computation over a pair, and the figures that come out of it."""

    name: str
    columns: tuple[Column, ...]
    compute: Callable[[Pair], Scores]
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        return missing_of(self.packages)


def _pesq(pair: Pair) -> Scores:
    return {"pesq": pesq_wideband(pair.reference, pair.hypothesis, pair.rate_hz)}


def _stoi(pair: Pair) -> Scores:
    clips = pair.reference, pair.hypothesis, pair.rate_hz
    return {"estoi": stoi(*clips, extended=True), "stoi": stoi(*clips)}


def _with_change(
    judge: Callable[[np.ndarray, int], Mapping[str, float]], prefix: str, pair: Pair
) -> Scores:
    """Judge the result, and how it differs from the judgement of the reference."""
    reference = judge(pair.reference, pair.rate_hz)
    scores: Scores = {}
    for name, value in judge(pair.hypothesis, pair.rate_hz).items():
        scores[f"{prefix}{name}"] = value
        scores[f"{prefix}{name}_change"] = value - reference[name]
    return scores


def _opinion(name: str, title: str) -> tuple[Column, Column]:
    return (
        Column(name, title, "MOS", "higher", 2),
        Column(f"{name}_change", f"{title}, change", "", "higher", 2),
    )


MEASURES = (
    Measure(
        "mel",
        (
            Column("mel_l1", "mel L1 to 8 kHz", "", "lower"),
            Column("mel_l1_full", "mel L1 to Nyquist", "", "lower"),
        ),
        mel_errors,
    ),
    Measure(
        "log_magnitude",
        (Column("log_magnitude", "STFT log-magnitude L1", "", "lower"),),
        log_magnitude,
    ),
    Measure(
        "mcd",
        (Column("mcd", "mel-cepstral distortion", "dB", "lower", 2),),
        cepstral_distortion,
        ("pyworld",),
    ),
    Measure("pesq", (Column("pesq", "PESQ wideband", "MOS", "higher", 2),), _pesq, ("pesq",)),
    Measure(
        "stoi",
        (Column("estoi", "ESTOI", "", "higher"), Column("stoi", "STOI", "", "higher")),
        _stoi,
        ("pystoi",),
    ),
    Measure(
        "pitch",
        (
            Column("vuv_error", "voicing error", "%", "lower", 1),
            Column("periodicity_rmse", "periodicity RMSE", "", "lower"),
            Column("f0_rmse", "pitch RMSE", "cents", "lower", 1),
        ),
        pitch_errors,
        ("swift_f0", "onnxruntime"),
    ),
    Measure(
        "silence", (Column("silence_delta", "level in silence", "dB", "zero", 2),), silence_delta
    ),
    Measure("high", (Column("high_bias", "bias 8 to 10 kHz", "dB", "zero", 2),), high_bias),
    Measure(
        "distillmos",
        _opinion("distillmos", "DistillMOS"),
        partial(_with_change, distillmos, ""),
        ("distillmos", "xls_r_sqa"),
    ),
    Measure(
        "dnsmos",
        (
            *_opinion("dnsmos_ovrl", "DNSMOS OVRL"),
            *_opinion("dnsmos_sig", "DNSMOS SIG"),
            *_opinion("dnsmos_bak", "DNSMOS BAK"),
            *_opinion("dnsmos_p808", "DNSMOS P.808"),
        ),
        partial(_with_change, dnsmos, "dnsmos_"),
        ("speechmos", "onnxruntime"),
    ),
)
COLUMNS = {column.name: column for measure in MEASURES for column in measure.columns}
MEASURE_OF = {column.name: measure for measure in MEASURES for column in measure.columns}


def choose(names: Iterable[str] | None) -> tuple[tuple[Measure, ...], tuple[Measure, ...]]:
    """Return the measures to take, and those left out because a package is missing.

    Without names all that can be taken are; a name is a measure's or one of its columns'.

    Raises:
        UsageError: an unknown name, or one that was asked for and whose package is missing.
    """
    if names is None:
        able = tuple(measure for measure in MEASURES if not measure.missing)
        return able, tuple(measure for measure in MEASURES if measure.missing)
    by_name = {**MEASURE_OF, **{measure.name: measure for measure in MEASURES}}
    wanted = []
    for name in names:
        if name not in by_name:
            known = " ".join(measure.name for measure in MEASURES)
            raise UsageError(f"no metric is called {name}", closest(name, by_name) or known)
        wanted.append(by_name[name])
    for measure in wanted:
        if measure.missing:
            packages = " and ".join(measure.missing)
            raise UsageError(
                f"the metric {measure.name} needs {packages}, not installed",
                how_to_install(measure.missing),
            )
    return tuple(measure for measure in MEASURES if measure in wanted), ()


def measure_pairs(pairs: Iterable[Pair], names: Iterable[str]) -> Scores:
    """Return the figures of one file by measures' names: the mean over its channels.

    A figure that no channel has is None.
    """
    measures = [measure for measure in MEASURES if measure.name in set(names)]
    rows = [{k: v for m in measures for k, v in m.compute(pair).items()} for pair in pairs]
    scores: Scores = {}
    for measure in measures:
        for column in measure.columns:
            known = [value for row in rows if (value := row[column.name]) is not None]
            scores[column.name] = float(np.mean(known)) if known else None
    return scores
