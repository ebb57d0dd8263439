"""What mels of many conventions, made of real recordings, are taken for.

    python -m tests.tools.mel_doctor

Speech and noises of `../shared/data`, each as it is, at a twentieth of its level, and through a
telephone's band; the demo's clip alone where that folder is not there.
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
from hifigan_cli.audio.conventions import measure, recognize
from hifigan_cli.audio.conventions.recognition import full_scale
from hifigan_cli.audio.mel import MAGNITUDE_EPSILON, MelSpectrogram, constants
from hifigan_cli.config import MelConfig
from hifigan_cli.types import DoubleArray
from tests.conftest import SHARED_DATA
from tests.helpers import ROOT

MEL = MelConfig()
DEMO = ROOT / "hifigan_cli" / "assets" / "demo.flac"
_LONGEST_S = 8.0


def bands(
    samples: npt.NDArray[np.floating[Any]], mel: MelConfig = MEL
) -> tuple[DoubleArray, DoubleArray]:
    """Return the mel bands of magnitudes and of power, `(mels, frames)`, of `(samples,)`."""
    window, filterbank = constants(mel, torch.device("cpu"))
    padded = MelSpectrogram(mel).padded(torch.from_numpy(samples)[None].double())
    spectrum = torch.stft(
        padded[0], mel.n_fft, mel.hop_length, window=window, center=False, return_complex=True
    )
    power = spectrum.real**2 + spectrum.imag**2
    magnitude = torch.sqrt(power + MAGNITUDE_EPSILON)
    return (filterbank @ magnitude).numpy(), (filterbank @ power).numpy()


def _floored(values: DoubleArray, floor: float) -> DoubleArray:
    return np.asarray(np.maximum(values, floor), np.float64)


def _decibels(power: DoubleArray) -> DoubleArray:
    """Return decibels below the loudest, 80 at most, as librosa's power_to_db with ref=max."""
    db = 10 * np.log10(_floored(power, 1e-10))
    return _floored(db - db.max(), -80.0)


def _unit(magnitude: DoubleArray) -> DoubleArray:
    """Return 0..1 over 100 dB below 20 dB, as Tacotrons of the first years have it."""
    level = (20 * np.log10(_floored(magnitude, 1e-5)) - 20 + 100) / 100
    return np.asarray(np.clip(level, 0, 1), np.float64)


def _standardized(magnitude: DoubleArray) -> DoubleArray:
    log = np.log10(_floored(magnitude, 1e-10))
    spread = log.std(1, keepdims=True) + 1e-5
    return np.asarray((log - log.mean(1, keepdims=True)) / spread, np.float64)


def _whisper(power: DoubleArray) -> DoubleArray:
    log = np.log10(_floored(power, 1e-10))
    return (_floored(log, log.max() - 8) + 4) / 4


# What each convention should be taken for, and what it makes of bands of magnitudes and of power.
CONVENTIONS: dict[str, tuple[str, Callable[[DoubleArray, DoubleArray], DoubleArray]]] = {
    "ln, floor 1e-5 (ours)": ("ln", lambda m, _: np.log(_floored(m, 1e-5))),
    "the same, 1 frame": ("ln", lambda m, _: np.log(_floored(m, 1e-5))[:, :1]),
    "the same, 20 frames": ("ln", lambda m, _: np.log(_floored(m, 1e-5))[:, :20]),
    "the same, half precision": ("ln", lambda m, _: np.log(_floored(m, 1e-5)).astype(np.float16)),
    "ln, floor 1e-7": ("ln", lambda m, _: np.log(_floored(m, 1e-7))),
    "log10, floor 1e-5": ("log10", lambda m, _: np.log10(_floored(m, 1e-5))),
    "log10, floor 1e-10": ("log10", lambda m, _: np.log10(_floored(m, 1e-10))),
    "log2, floor 1e-5": ("log2", lambda m, _: np.log2(_floored(m, 1e-5))),
    "dB of magnitudes": ("db", lambda m, _: 20 * np.log10(_floored(m, 1e-5))),
    "dB of power": ("db", lambda _, p: 10 * np.log10(_floored(p, 1e-10))),
    "dB below the loudest": ("db", lambda _, p: _decibels(p)),
    "ln of power, floor 1e-10": ("ln-power", lambda _, p: np.log(_floored(p, 1e-10))),
    "log10 of power": ("log10-power", lambda _, p: np.log10(_floored(p, 1e-10))),
    "magnitudes": ("magnitude", lambda m, _: m),
    "power": ("power", lambda _, p: p),
    "0..1": ("unit", lambda m, _: _unit(m)),
    "-4..4": ("symmetric", lambda m, _: 8 * _unit(m) - 4),
    "mean and variance removed": ("standardized", lambda m, _: _standardized(m)),
    "Whisper's": ("whisper", lambda _, p: _whisper(p)),
}


def clips(files: list[Path]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield each recording in three ways: as it is, much quieter, and of a telephone's band."""
    telephone = butter(8, (300, 3400), "band", fs=MEL.sample_rate, output="sos")
    for path in files:
        audio = read_audio(path)
        samples = resample(audio.mono().samples, audio.sample_rate, MEL.sample_rate)[0]
        samples = samples[: round(_LONGEST_S * MEL.sample_rate)]
        if len(samples) > MEL.sample_rate:
            yield samples
            yield samples / 20
            yield sosfilt(telephone, samples).astype(np.float32)


def counts(files: list[Path]) -> dict[str, Counter[str]]:
    """Count, for each convention, what its mels of recordings are taken for; `?` where in doubt."""
    found: dict[str, Counter[str]] = {name: Counter() for name in CONVENTIONS}
    for samples in clips(files):
        magnitude, power = bands(samples)
        for name, (_, make) in CONVENTIONS.items():
            values = make(magnitude, power)
            kept = values if values.dtype == np.float16 else values.astype(np.float32)
            verdict = recognize(measure(kept), full_scale(MEL))
            sure = verdict.certain or verdict.kind == "ln"
            found[name][verdict.kind + ("" if sure else "?")] += 1
    return found


def table(found: dict[str, Counter[str]]) -> str:
    """Write the counts as Markdown: what a mel is, and what it is taken for."""
    lines = ["| a mel of | mels | recognised | in doubt | taken for |", "|---|---|---|---|---|"]
    for name, (right, _) in CONVENTIONS.items():
        counts = found[name]
        wrong = {kind: n for kind, n in counts.most_common() if kind.rstrip("?") != right}
        others = ", ".join(f"{kind} {n}" for kind, n in wrong.items()) or "-"
        total, sure, doubt = counts.total(), counts[right], counts[f"{right}?"]
        lines.append(f"| {name} | {total} | {sure / total:.0%} | {doubt / total:.0%} | {others} |")
    return "\n".join(lines)


def recordings() -> dict[str, list[Path]]:
    """List the recordings that there are: speech and noises, or the demo's clip."""
    if not SHARED_DATA.is_dir():
        return {"the demo's clip": [DEMO]}
    speech = [path for path in sorted((SHARED_DATA / "valid").rglob("*.*")) if path.is_file()]
    return {"speech": speech, "noises": sorted((SHARED_DATA / "noise").iterdir())}


if __name__ == "__main__":
    for title, files in recordings().items():
        print(f"\n{title}, {len(files)} recordings\n\n{table(counts(files))}")
