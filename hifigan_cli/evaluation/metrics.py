"""The list of metrics: names, titles, units, the packages they need, and the functions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

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
    """One value of a metric: its name in CSV and JSON, its title, unit and digits in tables."""

    name: str
    title: str
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True)
class Metric:
    """A function of a `ChannelPair`, the values that it returns, and the packages that it needs."""

    name: str
    compute: Callable[[ChannelPair], Scores]
    columns: tuple[MetricColumn, ...]
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        return missing_of(self.packages)


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
METRIC_OF = {column.name: metric for metric in METRICS for column in metric.columns}


def choose_metrics(names: Iterable[str] | None) -> tuple[tuple[Metric, ...], tuple[Metric, ...]]:
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
