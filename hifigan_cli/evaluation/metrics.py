"""The list of metrics: names, titles, units, the packages they need, and the functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hifigan_cli.errors import UsageError, closest
from hifigan_cli.evaluation.mos import distillmos, dnsmos
from hifigan_cli.evaluation.packages import how_to_install, missing_of
from hifigan_cli.evaluation.spectral import high_bias, log_magnitude, mel_errors, silence_delta
from hifigan_cli.evaluation.speech import cepstral_distortion, pesq_wideband, pitch_errors, stoi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hifigan_cli.evaluation.clips import ChannelPair
    from hifigan_cli.types import FloatArray

Scores = dict[str, float | None]


@dataclass(frozen=True)
class MetricColumn:
    """One value of a metric.

    Attributes:
        name: in CSV and JSON.
        title: in tables for people.
        unit: of the value, or an empty string.
        better: which values are good: `lower`, `higher`, or near `zero`.
        digits: after the decimal point, in tables.
    """

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher", "zero"]
    digits: int = 3


@dataclass(frozen=True)
class Metric:
    """A function of a `ChannelPair`, and the values that it returns."""

    name: str
    columns: tuple[MetricColumn, ...]
    compute: Callable[[ChannelPair], Scores]
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        return missing_of(self.packages)


def _distillmos(pair: ChannelPair) -> Scores:
    return _mos_and_change(distillmos, "", pair)


def _dnsmos(pair: ChannelPair) -> Scores:
    return _mos_and_change(dnsmos, "dnsmos_", pair)


def _mos_and_change(
    mos: Callable[[FloatArray, int], dict[str, float]], prefix: str, pair: ChannelPair
) -> Scores:
    """Score the result, and its difference from the score of the reference."""
    reference = mos(pair.reference, pair.sample_rate)
    scores: Scores = {}
    for name, value in mos(pair.hypothesis, pair.sample_rate).items():
        scores[f"{prefix}{name}"] = value
        scores[f"{prefix}{name}_change"] = value - reference[name]
    return scores


def _mos_columns(name: str, title: str) -> tuple[MetricColumn, MetricColumn]:
    return (
        MetricColumn(name, title, "MOS", "higher", 2),
        MetricColumn(f"{name}_change", f"{title}, change", "", "higher", 2),
    )


METRICS = (
    Metric(
        "mel",
        (
            MetricColumn("mel_l1", "mel L1 to 8 kHz", "", "lower"),
            MetricColumn("mel_l1_full", "mel L1 to Nyquist", "", "lower"),
        ),
        mel_errors,
    ),
    Metric(
        "log_magnitude",
        (MetricColumn("log_magnitude", "STFT log-magnitude L1", "", "lower"),),
        log_magnitude,
    ),
    Metric(
        "mcd",
        (MetricColumn("mcd", "mel-cepstral distortion", "dB", "lower", 2),),
        cepstral_distortion,
        ("pyworld",),
    ),
    Metric(
        "pesq",
        (MetricColumn("pesq", "PESQ wideband", "MOS", "higher", 2),),
        pesq_wideband,
        ("pesq",),
    ),
    Metric(
        "stoi",
        (
            MetricColumn("estoi", "ESTOI", "", "higher"),
            MetricColumn("stoi", "STOI", "", "higher"),
        ),
        stoi,
        ("pystoi",),
    ),
    Metric(
        "pitch",
        (
            MetricColumn("vuv_error", "voicing error", "%", "lower", 1),
            MetricColumn("periodicity_rmse", "periodicity RMSE", "", "lower"),
            MetricColumn("f0_rmse", "pitch RMSE", "cents", "lower", 1),
        ),
        pitch_errors,
        ("swift_f0", "onnxruntime"),
    ),
    Metric(
        "silence",
        (MetricColumn("silence_delta", "level in silence", "dB", "zero", 2),),
        silence_delta,
    ),
    Metric("high", (MetricColumn("high_bias", "bias 8 to 10 kHz", "dB", "zero", 2),), high_bias),
    Metric(
        "distillmos",
        _mos_columns("distillmos", "DistillMOS"),
        _distillmos,
        ("distillmos", "xls_r_sqa"),
    ),
    Metric(
        "dnsmos",
        (
            *_mos_columns("dnsmos_ovrl", "DNSMOS OVRL"),
            *_mos_columns("dnsmos_sig", "DNSMOS SIG"),
            *_mos_columns("dnsmos_bak", "DNSMOS BAK"),
            *_mos_columns("dnsmos_p808", "DNSMOS P.808"),
        ),
        _dnsmos,
        ("speechmos", "onnxruntime"),
    ),
)
COLUMNS = {column.name: column for metric in METRICS for column in metric.columns}
METRIC_OF = {column.name: metric for metric in METRICS for column in metric.columns}


def choose_metrics(
    names: Iterable[str] | None,
) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
    """Return the metrics to compute, and those left out because a package is missing.

    A name is that of a metric or of one of its columns; without names, all that can be computed.

    Raises:
        UsageError: an unknown name, or a named metric whose package is missing.
    """
    if names is None:
        left_out = tuple(metric for metric in METRICS if metric.missing)
        return tuple(metric for metric in METRICS if metric not in left_out), left_out
    by_name = {**METRIC_OF, **{metric.name: metric for metric in METRICS}}
    wanted = []
    for name in names:
        if name not in by_name:
            known = " ".join(metric.name for metric in METRICS)
            raise UsageError(f"no metric is called {name}", closest(name, by_name) or known)
        wanted.append(by_name[name])
    for metric in wanted:
        if missing := metric.missing:
            raise UsageError(
                f"the metric {metric.name} needs {' and '.join(missing)}, not installed",
                how_to_install(missing),
            )
    return tuple(metric for metric in METRICS if metric in wanted), ()


def score_channels(pairs: Iterable[ChannelPair], names: Iterable[str]) -> Scores:
    """Return the values of named metrics for one file: means over its channels.

    A value that no channel has is None.
    """
    metrics = [metric for metric in METRICS if metric.name in set(names)]
    rows = [{k: v for metric in metrics for k, v in metric.compute(pair).items()} for pair in pairs]
    scores: Scores = {}
    for column in (column for metric in metrics for column in metric.columns):
        known = [value for row in rows if (value := row[column.name]) is not None]
        scores[column.name] = float(np.mean(known)) if known else None
    return scores
