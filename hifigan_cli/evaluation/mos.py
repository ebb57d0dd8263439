"""Mean opinion scores (MOS) without a reference: networks predict listeners' ratings, 1 to 5.

DNSMOS P.835 (Reddy et al. 2022, arXiv 2110.01763) rates speech (SIG), background (BAK) and overall
quality (OVRL). Its P.808 model and DistillMOS (Stahl and Gamper 2025, arXiv 2502.05356) also rate
overall quality. Use means over many clips: the score of a single clip means little. Neither network
notices missing high frequencies.

The package `speechmos` contains the weights of DNSMOS. Its code needs librosa, so only the weights
are used. Both networks use one thread, so that files can be scored in parallel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.audio.resampling import resample
from hifigan_cli.config import MelConfig
from hifigan_cli.errors import EmptyError
from hifigan_cli.evaluation.packages import load, package_folder

if TYPE_CHECKING:
    from hifigan_cli.types import DoubleArray, FloatArray

SAMPLE_RATE = 16_000
# DNSMOS: windows of 9.01 s with a hop of one second.
_WINDOW_S = 9.01
_WINDOW_SAMPLES = int(_WINDOW_S * SAMPLE_RATE)
# Polynomials from raw outputs to MOS, highest power first.
_TO_MOS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
# The mel of P.808.
_N_FFT, _HOP_LENGTH, _N_MELS = 321, 160, 120
_FLOOR, _RANGE_DB = 1e-10, 80.0
# DistillMOS: segments of 7.68 s, evenly spaced with a hop of at most one second.
_SEGMENT_SAMPLES = 122_880
_SEGMENT_HOP_SAMPLES = 16_000
_SEGMENT_BATCH = 8


def dnsmos(samples: FloatArray, sample_rate: int) -> dict[str, float]:
    """Compute DNSMOS of `(samples,)`: `ovrl`, `sig` and `bak` of P.835, and `p808`.

    Raises:
        UsageError: speechmos or onnxruntime is not installed.
        EmptyError: there are no samples.
    """
    p835, p808 = _session("sig_bak_ovr.onnx"), _session("model_v8.onnx")
    scores: dict[str, list[float]] = {name: [] for name in ("ovrl", "sig", "bak", "p808")}
    for window in _dnsmos_windows(np.clip(_at_16_khz(samples, sample_rate), -1, 1)):
        raw = p835.run(None, {"input_1": window[None]})[0][0]
        for (name, polynomial), value in zip(_TO_MOS.items(), raw, strict=True):
            scores[name].append(float(np.polyval(polynomial, value)))
        mel = p808_mel(window[:-_HOP_LENGTH])
        scores["p808"].append(float(p808.run(None, {"input_1": mel[None]})[0][0][0]))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def _dnsmos_windows(audio: FloatArray) -> list[FloatArray]:
    """Cut `(samples,)` into windows; a clip shorter than a window is repeated."""
    while len(audio) < _WINDOW_SAMPLES:
        audio = np.concatenate([audio, audio])
    count = int(len(audio) // SAMPLE_RATE - _WINDOW_S) + 1
    windows = [
        audio[k * SAMPLE_RATE : int((k + _WINDOW_S) * SAMPLE_RATE)][:_WINDOW_SAMPLES]
        for k in range(count)
    ]
    return [window for window in windows if len(window) == _WINDOW_SAMPLES]


def p808_mel(samples: FloatArray) -> FloatArray:
    """Return the mel `(frames, 120)` of `(samples,)` at 16 kHz, in dB below the peak, scaled."""
    padded = np.pad(samples.astype(np.float64), _N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP_LENGTH]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_N_FFT) / _N_FFT)
    power = np.abs(np.fft.rfft(frames * window)) ** 2 @ _p808_filterbank().T
    level_db = 10 * np.log10(np.maximum(power, _FLOOR) / max(float(power.max()), _FLOOR))
    scaled = (np.maximum(level_db, level_db.max() - _RANGE_DB) + 40) / 40
    return np.asarray(scaled, np.float32)


@lru_cache(maxsize=1)
def _p808_filterbank() -> DoubleArray:
    config = MelConfig(sample_rate=SAMPLE_RATE, n_mels=_N_MELS, fmax=SAMPLE_RATE / 2)
    # MelConfig rejects this odd n_fft.
    return filterbank(config.model_copy(update={"n_fft": _N_FFT}))


@lru_cache(maxsize=2)
def _session(name: str) -> Any:
    runtime = load("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    path = package_folder("speechmos") / "dnsmos_models" / name
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def distillmos(samples: FloatArray, sample_rate: int) -> dict[str, float]:
    """Compute DistillMOS of `(samples,)`, as `distillmos`.

    Raises:
        UsageError: distillmos or xls-r-sqa is not installed.
        EmptyError: there are no samples.
    """
    network = _distillmos_network()
    audio = torch.from_numpy(_at_16_khz(samples, sample_rate))
    if len(audio) < _SEGMENT_SAMPLES:
        audio = torch.nn.functional.pad(audio, (0, _SEGMENT_SAMPLES - len(audio)))
    last_start = len(audio) - _SEGMENT_SAMPLES
    shares = np.linspace(0, 1, -(-last_start // _SEGMENT_HOP_SAMPLES) + 1)
    starts = [int(share * last_start) for share in shares]
    scores = []
    with torch.inference_mode():
        for first in range(0, len(starts), _SEGMENT_BATCH):
            batch = starts[first : first + _SEGMENT_BATCH]
            segments = torch.stack([audio[start : start + _SEGMENT_SAMPLES] for start in batch])
            scores += network(segments).flatten().tolist()
    return {"distillmos": float(np.mean(scores))}


@lru_cache(maxsize=1)
def _distillmos_network() -> torch.nn.Module:
    load("xls_r_sqa.sqa_model")
    package = load("distillmos.sqa")
    # Load the weights here, because the package prints when it loads them.
    network: torch.nn.Module = package.ConvTransformerSQAModel(
        load_weights=False, segmenting_in_forward=False
    )
    weights = torch.load(package.DEFAULT_WEIGHTS_CHKPT, map_location="cpu", weights_only=True)
    network.load_state_dict(weights["model"])
    return network.eval()


def _at_16_khz(samples: FloatArray, sample_rate: int) -> FloatArray:
    if samples.size == 0:
        raise EmptyError("a clip without samples cannot be scored")
    return np.ascontiguousarray(resample(samples[None], sample_rate, SAMPLE_RATE)[0], np.float32)
