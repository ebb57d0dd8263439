"""Count as which scale mels of real recordings are detected: the tables in `.github/MELS.md`.

    python -m tests.tools.mel_detection

The recordings are the speech and noises in `../shared/data`, each unchanged, at a twentieth of its
level, and band-limited like a telephone. Without that folder, only the bundled clip is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import butter, sosfilt

from hifigan_cli.audio import read_audio, resample
from hifigan_cli.audio.conventions import detect_scale, measure_mel
from hifigan_cli.audio.conventions.detection import max_log_mel
from hifigan_cli.audio.mel import MAGNITUDE_EPSILON, MelSpectrogram, window_and_filterbank
from hifigan_cli.config import MelConfig
from hifigan_cli.types import DoubleArray
from tests.conftest import SHARED_DATA
from tests.helpers import ROOT

MEL = MelConfig()
DEMO = ROOT / "hifigan_cli" / "assets" / "demo.flac"
_MAX_CLIP_S = 8.0


def bands(
    samples: npt.NDArray[np.floating[Any]], mel: MelConfig = MEL
) -> tuple[DoubleArray, DoubleArray]:
    """Return the mel bands of magnitudes and of power, `(n_mels, frames)`, of `(samples,)`."""
    window, filterbank = window_and_filterbank(mel, torch.device("cpu"))
    padded = MelSpectrogram(mel).pad(torch.from_numpy(samples)[None].double())
    spectrum = torch.stft(
        padded[0], mel.n_fft, mel.hop_length, window=window, center=False, return_complex=True
    )
    power = spectrum.real**2 + spectrum.imag**2
    magnitude = torch.sqrt(power + MAGNITUDE_EPSILON)
    return (filterbank @ magnitude).numpy(), (filterbank @ power).numpy()


def _clamp(values: DoubleArray, floor: float) -> DoubleArray:
    return np.asarray(np.maximum(values, floor), np.float64)


def _decibels(power: DoubleArray) -> DoubleArray:
    """Return decibels relative to the maximum, at least -80, like librosa's power_to_db."""
    db = 10 * np.log10(_clamp(power, 1e-10))
    return _clamp(db - db.max(), -80.0)


def _unit(magnitude: DoubleArray) -> DoubleArray:
    """Map -80..20 dB to 0..1, like the first Tacotron implementations."""
    level = (20 * np.log10(_clamp(magnitude, 1e-5)) - 20 + 100) / 100
    return np.asarray(np.clip(level, 0, 1), np.float64)


def _standardized(magnitude: DoubleArray) -> DoubleArray:
    log = np.log10(_clamp(magnitude, 1e-10))
    spread = log.std(1, keepdims=True) + 1e-5
    return np.asarray((log - log.mean(1, keepdims=True)) / spread, np.float64)


def _whisper(power: DoubleArray) -> DoubleArray:
    log = np.log10(_clamp(power, 1e-10))
    return (_clamp(log, log.max() - 8) + 4) / 4


# The expected scale, and the values of the mel bands of magnitudes and of power on that scale.
CONVENTIONS: dict[str, tuple[str, Callable[[DoubleArray, DoubleArray], DoubleArray]]] = {
    "ln, floor 1e-5 (HiFi-GAN)": ("ln", lambda m, _: np.log(_clamp(m, 1e-5))),
    "the same, 1 frame": ("ln", lambda m, _: np.log(_clamp(m, 1e-5))[:, :1]),
    "the same, 20 frames": ("ln", lambda m, _: np.log(_clamp(m, 1e-5))[:, :20]),
    "the same, half precision": ("ln", lambda m, _: np.log(_clamp(m, 1e-5)).astype(np.float16)),
    "ln, floor 1e-7": ("ln", lambda m, _: np.log(_clamp(m, 1e-7))),
    "log10, floor 1e-5": ("log10", lambda m, _: np.log10(_clamp(m, 1e-5))),
    "log10, floor 1e-10": ("log10", lambda m, _: np.log10(_clamp(m, 1e-10))),
    "log2, floor 1e-5": ("log2", lambda m, _: np.log2(_clamp(m, 1e-5))),
    "dB of magnitudes": ("db", lambda m, _: 20 * np.log10(_clamp(m, 1e-5))),
    "dB of power": ("db", lambda _, p: 10 * np.log10(_clamp(p, 1e-10))),
    "dB below the loudest": ("db", lambda _, p: _decibels(p)),
    "ln of power, floor 1e-10": ("ln-power", lambda _, p: np.log(_clamp(p, 1e-10))),
    "log10 of power": ("log10-power", lambda _, p: np.log10(_clamp(p, 1e-10))),
    "magnitudes": ("magnitude", lambda m, _: m),
    "power": ("power", lambda _, p: p),
    "0..1": ("unit", lambda m, _: _unit(m)),
    "-4..4": ("symmetric", lambda m, _: 8 * _unit(m) - 4),
    "mean and variance removed": ("standardized", lambda m, _: _standardized(m)),
    "Whisper's": ("whisper", lambda _, p: _whisper(p)),
}


def clips(files: list[Path]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield each recording unchanged, at a twentieth of its level, and with a telephone's band."""
    telephone = butter(8, (300, 3400), "band", fs=MEL.sample_rate, output="sos")
    for path in files:
        audio = read_audio(path)
        samples = resample(audio.mono().samples, audio.sample_rate, MEL.sample_rate)[0]
        samples = samples[: round(_MAX_CLIP_S * MEL.sample_rate)]
        if len(samples) > MEL.sample_rate:
            yield samples
            yield samples / 20
            yield sosfilt(telephone, samples).astype(np.float32)


def counts(files: list[Path]) -> dict[str, Counter[str]]:
    """Count the detected scales of each convention's mels; those with a warning end in `?`."""
    counts_by_convention: dict[str, Counter[str]] = {name: Counter() for name in CONVENTIONS}
    for samples in clips(files):
        magnitude, power = bands(samples)
        for name, (_, convert) in CONVENTIONS.items():
            values = convert(magnitude, power)
            stored = values if values.dtype == np.float16 else values.astype(np.float32)
            detection = detect_scale(measure_mel(stored), max_log_mel(MEL))
            certain = detection.certain or detection.kind == "ln"
            counts_by_convention[name][detection.kind + ("" if certain else "?")] += 1
    return counts_by_convention


def table(counts_by_convention: dict[str, Counter[str]]) -> str:
    """Return the counts as a Markdown table."""
    lines = [
        "| mel | count | detected | with a warning | detected as another |",
        "|---|---|---|---|---|",
    ]
    for name, (expected, _) in CONVENTIONS.items():
        counts = counts_by_convention[name]
        wrong = {kind: n for kind, n in counts.most_common() if kind.rstrip("?") != expected}
        others = ", ".join(f"{kind} {n}" for kind, n in wrong.items()) or "-"
        total, detected, warned = counts.total(), counts[expected], counts[f"{expected}?"]
        shares = f"{detected / total:.0%} | {warned / total:.0%}"
        lines.append(f"| {name} | {total} | {shares} | {others} |")
    return "\n".join(lines)


def recordings() -> dict[str, list[Path]]:
    """Return the available recordings: speech and noises, or only the bundled clip."""
    if not SHARED_DATA.is_dir():
        return {"Bundled clip": [DEMO]}
    speech = [path for path in sorted((SHARED_DATA / "valid").rglob("*.*")) if path.is_file()]
    return {"speech": speech, "noises": sorted((SHARED_DATA / "noise").iterdir())}


if __name__ == "__main__":
    for title, files in recordings().items():
        print(f"\n{title.capitalize()}, {len(files)} recordings:\n\n{table(counts(files))}")
