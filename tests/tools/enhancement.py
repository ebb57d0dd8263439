"""Measures the enhancer on noisy mixes, beside the plain vocoder and DeepFilterNet3.

    python -m tests.tools.enhancement [--model MODEL] [--enhancer FILE] [--limit DB ...]

Speech of speakers that the enhancer has not heard (LJSpeech, aishell3) and of other clips of one
that it has (kathleen); noises and rooms that are held out from its training. One table: the mean
change from input to output, and the level of each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hifigan_cli.api import load_enhancement, load_model
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.data.degrading.noise import draw_noise
from hifigan_cli.data.degrading.pairs import mixed
from hifigan_cli.data.degrading.rooms import draw_room, reverberated
from hifigan_cli.data.degrading.sounds import load_sounds
from hifigan_cli.evaluation.metrics.intelligibility import stoi
from hifigan_cli.evaluation.metrics.opinions import distillmos, dnsmos
from tests.conftest import SHARED_DATA
from tests.tools.deepfilter import DeepFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Wave = npt.NDArray[np.float32]

RATE_HZ = 22_050
LONGEST_S = 6.0
SPEECH = {"ljspeech": 26, "aishell3": 10, "kathleen": 12}  # clips of each
SNRS_DB = (0.0, 5.0, 10.0, 15.0)
ROOMS_IN_FIVE = 3
SPEECH_RMS = 10 ** (-26 / 20)
CLEAN_CLIPS = 20


def speech(data: Path) -> list[Wave]:
    """Return the clean clips, `(samples,)` each, at one level."""
    clips = []
    for folder, count in SPEECH.items():
        files = sorted((data / "valid" / folder).glob("*.flac"))
        for path in files[:: max(1, len(files) // count)][:count]:
            audio = read_audio(path).mono()
            wave = resample(audio.samples, audio.rate_hz, RATE_HZ)[0][: int(LONGEST_S * RATE_HZ)]
            clips.append((wave * (SPEECH_RMS / np.sqrt(np.mean(wave**2)))).astype(np.float32))
    return clips


def mixes(clips: list[Wave], data: Path) -> list[Wave]:
    """Put each clip into a room, or none, and a noise, all held out from training."""
    noises = load_sounds(data / "noise", RATE_HZ, validation=True)
    rooms = load_sounds(data / "rir", RATE_HZ, validation=True)
    found = []
    for number, clean in enumerate(clips):
        draw = np.random.default_rng((2020, number))
        wave = clean.astype(np.float64)
        if number % 5 < ROOMS_IN_FIVE:
            wave = reverberated(wave, *draw_room(draw, rooms, RATE_HZ, varied=False))
        noise = draw_noise(draw, noises, len(wave), RATE_HZ, varied=False)
        noisy = mixed(wave, noise, SNRS_DB[number % len(SNRS_DB)])
        found.append((noisy / max(1.0, np.abs(noisy).max())).astype(np.float32))
    return found


def scores(wave: Wave, clean: Wave | None) -> dict[str, float]:
    """Rate one clip."""
    rated = dnsmos(wave, RATE_HZ)
    found = {name: rated[name] for name in ("ovrl", "bak", "sig")}
    found |= distillmos(wave, RATE_HZ)
    if clean is not None:
        length = min(len(wave), len(clean))
        found["stoi"] = float(stoi(clean[:length], wave[:length], RATE_HZ) or np.nan)
    return found


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="the vocoder; default: the default model")
    parser.add_argument("--enhancer", help="default: the one that comes along")
    parser.add_argument("--limit", type=float, nargs="*", default=[], help="attenuation limits, dB")
    parser.add_argument("--clips", type=int, default=sum(SPEECH.values()))
    parser.add_argument("--no-peer", action="store_true", help="leave DeepFilterNet3 out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_grad_enabled(mode=False)

    vocoder = load_model(options.model)

    def resynthesis(*, enhance: bool, limit: float | None = None) -> Callable[[Wave], Wave]:
        stage = load_enhancement(options.enhancer, limit_db=limit) if enhance else None

        def run(wave: Wave) -> Wave:
            audio = Audio(wave[None], RATE_HZ)
            made = vocoder.resynthesize(audio, enhancement=stage).samples[0]
            return np.asarray(np.clip(made, -1, 1))

        return run

    systems: dict[str, Callable[[Wave], Wave]] = {
        "input": lambda wave: wave,
        "--no-enhance": resynthesis(enhance=False),
        "hifigan": resynthesis(enhance=True),
    }
    for limit in options.limit:
        systems[f"hifigan, limit {limit:g} dB"] = resynthesis(enhance=True, limit=limit)
    if not options.no_peer:
        noise_filter = DeepFilter()
        systems["DeepFilterNet3"] = lambda wave: noise_filter(wave, RATE_HZ)

    step = max(1, sum(SPEECH.values()) // options.clips)
    clean = speech(SHARED_DATA)
    noisy = mixes(clean, SHARED_DATA)[::step]
    clean = clean[::step]
    report: dict[str, dict[str, dict[str, float]]] = {}
    for title, inputs, references in (
        (f"{len(noisy)} noisy mixes", noisy, clean),
        (f"{len(clean[:CLEAN_CLIPS])} clean clips", clean[:CLEAN_CLIPS], clean[:CLEAN_CLIPS]),
    ):
        report[title] = {}
        for name, system in systems.items():
            rated = [
                scores(system(wave), target)
                for wave, target in zip(inputs, references, strict=True)
            ]
            report[title][name] = {k: float(np.nanmean([r[k] for r in rated])) for k in rated[0]}
            print(title, name, report[title][name], flush=True)
        show(title, report[title])
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


def show(title: str, found: dict[str, dict[str, float]]) -> None:
    """Print one table: levels, and in brackets the change from the input."""
    table = Table(title=title)
    columns = list(found["input"])
    for column in ("", *columns):
        table.add_column(column)
    for name, values in found.items():
        cells = [f"{values[c]:.3f} ({values[c] - found['input'][c]:+.2f})" for c in columns]
        table.add_row(name, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
