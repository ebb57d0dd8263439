"""The list of metrics: names, titles, units, required packages and functions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.errors import UsageError, did_you_mean
from hifigan_cli.evaluation.mos import distillmos, dnsmos
from hifigan_cli.evaluation.packages import install_command, missing_packages
from hifigan_cli.evaluation.spectral import high_bias, log_magnitude, mel_errors, silence_delta
from hifigan_cli.evaluation.speech import cepstral_distortion, pesq_wideband, pitch_errors, stoi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hifigan_cli.evaluation.clips import ChannelPair
    from hifigan_cli.types import FloatArray

Scores = dict[str, float | None]


@dataclass(frozen=True)
class MetricColumn:
    """One value of a metric: name in CSV and JSON; title, unit and digits in tables."""

    name: str
    title: str
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True)
class Metric:
    """A function of a `ChannelPair`, the values that it returns, and its required packages."""

    name: str
    compute: Callable[[ChannelPair], Scores]
    columns: tuple[MetricColumn, ...]
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The required packages that are not installed."""
        return missing_packages(self.packages)


def _mos_and_change(
    mos: Callable[[FloatArray, int], dict[str, float]], prefix: str, pair: ChannelPair
) -> Scores:
    """Return the scores of the result, and their differences from those of the reference."""
    reference = mos(pair.reference, pair.sample_rate)
    scores: Scores = {}
    for name, value in mos(pair.generated, pair.sample_rate).items():
        scores[f"{prefix}{name}"] = value
        scores[f"{prefix}{name}_change"] = value - reference[name]
    return scores


def _mos_columns(name: str, title: str) -> tuple[MetricColumn, MetricColumn]:
    change = MetricColumn(f"{name}_change", f"{title}, change", digits=2)
    return MetricColumn(name, title, "MOS", 2), change


METRICS = (
    Metric(
        "mel",
        mel_errors,
        (
            MetricColumn("mel_l1", "mel L1 to 8 kHz"),
            MetricColumn("mel_l1_full", "mel L1 to Nyquist"),
        ),
    ),
    Metric(
        "log_magnitude", log_magnitude, (MetricColumn("log_magnitude", "STFT log-magnitude L1"),)
    ),
    Metric(
        "mcd",
        cepstral_distortion,
        (MetricColumn("mcd", "mel-cepstral distortion", "dB", 2),),
        ("pyworld",),
    ),
    Metric("pesq", pesq_wideband, (MetricColumn("pesq", "PESQ wideband", "MOS", 2),), ("pesq",)),
    Metric(
        "stoi", stoi, (MetricColumn("estoi", "ESTOI"), MetricColumn("stoi", "STOI")), ("pystoi",)
    ),
    Metric(
        "pitch",
        pitch_errors,
        (
            MetricColumn("vuv_error", "voicing error", "%", 1),
            MetricColumn("periodicity_rmse", "periodicity RMSE"),
            MetricColumn("f0_rmse", "pitch RMSE", "cents", 1),
        ),
        ("swift_f0", "onnxruntime"),
    ),
    Metric("silence", silence_delta, (MetricColumn("silence_delta", "level in silence", "dB", 2),)),
    Metric("high", high_bias, (MetricColumn("high_bias", "bias 8 to 10 kHz", "dB", 2),)),
    Metric(
        "distillmos",
        partial(_mos_and_change, distillmos, ""),
        _mos_columns("distillmos", "DistillMOS"),
        ("distillmos", "xls_r_sqa"),
    ),
    Metric(
        "dnsmos",
        partial(_mos_and_change, dnsmos, "dnsmos_"),
        (
            *_mos_columns("dnsmos_ovrl", "DNSMOS OVRL"),
            *_mos_columns("dnsmos_sig", "DNSMOS SIG"),
            *_mos_columns("dnsmos_bak", "DNSMOS BAK"),
            *_mos_columns("dnsmos_p808", "DNSMOS P.808"),
        ),
        ("speechmos", "onnxruntime"),
    ),
)
COLUMNS = {column.name: column for metric in METRICS for column in metric.columns}
METRIC_BY_COLUMN = {column.name: metric for metric in METRICS for column in metric.columns}


def select_metrics(names: Iterable[str] | None) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
    """Return the metrics to compute, and those that are skipped because a package is missing.

    A name is that of a metric or of one of its columns. Without names, all available metrics are
    computed.

    Raises:
        UsageError: a name is unknown, or the package of a named metric is missing.
    """
    if names is None:
        skipped = tuple(metric for metric in METRICS if metric.missing)
        return tuple(metric for metric in METRICS if metric not in skipped), skipped
    by_name = {**METRIC_BY_COLUMN, **{metric.name: metric for metric in METRICS}}
    selected = []
    for name in names:
        if name not in by_name:
            known = " ".join(metric.name for metric in METRICS)
            raise UsageError(f"unknown metric {name}", did_you_mean(name, by_name) or known)
        selected.append(by_name[name])
    for metric in selected:
        if missing := metric.missing:
            raise UsageError(
                f"the metric {metric.name} needs {' and '.join(missing)}: not installed",
                install_command(missing),
            )
    return tuple(metric for metric in METRICS if metric in selected), ()


def score_channels(pairs: Iterable[ChannelPair], names: Iterable[str]) -> Scores:
    """Compute metrics by name for one file; each value is the mean over the channels.

    A value is None if no channel has it.
    """
    metrics = [metric for metric in METRICS if metric.name in set(names)]
    rows = [{k: v for metric in metrics for k, v in metric.compute(pair).items()} for pair in pairs]
    scores: Scores = {}
    for column in (column for metric in metrics for column in metric.columns):
        known = [value for row in rows if (value := row[column.name]) is not None]
        scores[column.name] = float(np.mean(known)) if known else None
    return scores
