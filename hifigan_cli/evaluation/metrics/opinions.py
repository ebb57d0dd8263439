"""Opinion scores without a reference: networks that guess what listeners would say, from 1 to 5.

DNSMOS P.835 (Reddy et al. 2022, arXiv 2110.01763) rates speech (SIG), background (BAK) and the
whole (OVRL), and after P.808 the whole once more. DistillMOS (Stahl and Gamper 2025, arXiv
2502.05356) rates the whole. Both are made for means over many clips: a single clip's figure says
little, and neither hears missing high frequencies.

The package `speechmos` carries the weights of DNSMOS; its code needs librosa, so that only the
weights are taken and run as its code runs them. Both networks use one thread, so that files can be
scored side by side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hifigan_cli.audio.resampling import resample
from hifigan_cli.errors import EmptyError
from hifigan_cli.evaluation.metrics.dnsmel import p808_features
from hifigan_cli.evaluation.metrics.packages import folder_of, load

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray

RATE_HZ = 16_000
# DNSMOS: windows of 9.01 s at steps of one second.
_WINDOW_S = 9.01
_WINDOW_SAMPLES = int(_WINDOW_S * RATE_HZ)
# Raw outputs -> the scale of listeners, highest power first.
_TO_OPINION = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
# DistillMOS: windows of 7.68 s, spread evenly at steps of at most one second.
_SEGMENT_SAMPLES = 122_880
_SEGMENT_STEP_SAMPLES = 16_000
_SEGMENTS_AT_ONCE = 8


def dnsmos(samples: FloatArray, rate_hz: int) -> dict[str, float]:
    """Return DNSMOS of `(samples,)`: `ovrl`, `sig` and `bak` of P.835, `p808`; each 1 to 5.

    Raises:
        UsageError: speechmos or onnxruntime is not installed.
        EmptyError: there are no samples.
    """
    p835, p808 = _session("sig_bak_ovr.onnx"), _session("model_v8.onnx")
    scores: dict[str, list[float]] = {name: [] for name in (*_TO_OPINION, "p808")}
    for window in _dnsmos_windows(np.clip(_at_16_khz(samples, rate_hz), -1, 1)):
        raw = p835.run(None, {"input_1": window[None]})[0][0]
        for name, value in zip(_TO_OPINION, raw, strict=True):
            scores[name].append(float(np.polyval(_TO_OPINION[name], value)))
        features = p808_features(window[:-160])
        scores["p808"].append(float(p808.run(None, {"input_1": features[None]})[0][0][0]))
    return {name: float(np.mean(scores[name])) for name in ("ovrl", "sig", "bak", "p808")}


def distillmos(samples: FloatArray, rate_hz: int) -> dict[str, float]:
    """Return DistillMOS of `(samples,)`: `distillmos`, 1 to 5.

    Raises:
        UsageError: distillmos or xls-r-sqa is not installed.
        EmptyError: there are no samples.
    """
    network = _distillmos_network()
    audio = torch.from_numpy(_at_16_khz(samples, rate_hz))
    if len(audio) < _SEGMENT_SAMPLES:
        audio = torch.nn.functional.pad(audio, (0, _SEGMENT_SAMPLES - len(audio)))
    over = len(audio) - _SEGMENT_SAMPLES
    shares = np.linspace(0, 1, -(-over // _SEGMENT_STEP_SAMPLES) + 1)
    starts = [int(share * over) for share in shares]
    scores = []
    with torch.inference_mode():
        for first in range(0, len(starts), _SEGMENTS_AT_ONCE):
            some = starts[first : first + _SEGMENTS_AT_ONCE]
            segments = torch.stack([audio[start : start + _SEGMENT_SAMPLES] for start in some])
            scores += network(segments).flatten().tolist()
    return {"distillmos": float(np.mean(scores))}


def _at_16_khz(samples: FloatArray, rate_hz: int) -> FloatArray:
    if samples.size == 0:
        raise EmptyError("a clip without samples has no opinion score")
    return np.ascontiguousarray(resample(samples[None], rate_hz, RATE_HZ)[0], np.float32)


def _dnsmos_windows(audio: FloatArray) -> list[FloatArray]:
    """Cut `(samples,)` into windows; a short clip is doubled until it fills one."""
    while len(audio) < _WINDOW_SAMPLES:
        audio = np.concatenate([audio, audio])
    count = int(len(audio) // RATE_HZ - _WINDOW_S) + 1
    windows = [
        audio[k * RATE_HZ : int((k + _WINDOW_S) * RATE_HZ)][:_WINDOW_SAMPLES] for k in range(count)
    ]
    return [window for window in windows if len(window) == _WINDOW_SAMPLES]


@lru_cache(maxsize=2)
def _session(name: str) -> Any:
    runtime = load("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    path = folder_of("speechmos") / "dnsmos_models" / name
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def _distillmos_network() -> torch.nn.Module:
    load("xls_r_sqa.sqa_model")
    package = load("distillmos.sqa")
    # Loaded here and not by the package, which prints when it does.
    network: torch.nn.Module = package.ConvTransformerSQAModel(
        load_weights=False, segmenting_in_forward=False
    )
    weights = torch.load(package.DEFAULT_WEIGHTS_CHKPT, map_location="cpu", weights_only=True)
    network.load_state_dict(weights["model"])
    return network.eval()
