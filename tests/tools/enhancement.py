"""Measure enhancement on noisy mixes and clean clips: the tables in `.github/QUALITY.md`.

    python -m tests.tools.enhancement [--write] [--limit DB ...] [--clips N] [--json FILE]
    python -m tests.tools.enhancement --time [--rounds 5] [--write]
    python -m tests.tools.enhancement --picture .github/enhancement.png

The first command compares the modes of `hifigan resynth`, and DeepFilterNet3 without a vocoder: on
noisy mixes, by type of degradation, and on clean clips. The speech is of speakers that the enhancer
was not trained on (LJSpeech, aishell3) and of other clips of one that it was (kathleen). Noises and
RIRs are held out from its training. The second command measures the time of `hifigan resynth` for
60 s of speech, in each mode alternately, in one process each. The third draws the mels of a noisy
mix and of its output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.api import load_enhancement, load_model
from hifigan_cli.audio.pictures import save_mel_figure
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.enhancement.augmentation.effects import draw_noise, draw_rir, mix, reverberate
from hifigan_cli.enhancement.augmentation.sounds import load_sounds
from hifigan_cli.enhancement.noise_filter import NoiseFilter
from hifigan_cli.evaluation.clips import ChannelPair
from hifigan_cli.evaluation.mos import distillmos, dnsmos
from hifigan_cli.evaluation.speech import stoi
from hifigan_cli.runtime.environment import cpu_name
from tests.conftest import SHARED_DATA
from tests.tools.docs import QUALITY_PAGE, write_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    Wave = npt.NDArray[np.float32]
    Scores = dict[str, float]

SAMPLE_RATE = 22_050
MAX_CLIP_S = 6.0
SPEECH = {"ljspeech": 26, "aishell3": 10, "kathleen": 12}  # clips per folder
SNRS_DB = (0.0, 5.0, 10.0, 15.0)
REVERBERANT_IN_FIVE = 3
SPEECH_RMS = 10 ** (-26 / 20)
CLEAN_CLIPS = 20
TIMED_SPEECH_S = 60
PICTURE_MIX = 33  # without reverberation, 5 dB
METRICS = {"ovrl": "OVRL", "sig": "SIG", "bak": "BAK", "distillmos": "DistillMOS", "stoi": "STOI"}
WITHOUT_VOCODER = "DeepFilterNet3, no vocoder"
MODES = {
    "off": "`--no-enhance`",
    "filter": "`--enhance filter`",
    "restore": "`--enhance restore`",
    "both": "**`hifigan resynth`**",
}


def speech(data: Path) -> list[Wave]:
    """Return the clean clips `(samples,)`, all at the same level."""
    clips = []
    for folder, count in SPEECH.items():
        files = sorted((data / "valid" / folder).glob("*.flac"))
        for path in files[:: max(1, len(files) // count)][:count]:
            audio = read_audio(path).mono()
            wave = resample(audio.samples, audio.sample_rate, SAMPLE_RATE)[0]
            wave = wave[: int(MAX_CLIP_S * SAMPLE_RATE)]
            clips.append((wave * (SPEECH_RMS / np.sqrt(np.mean(wave**2)))).astype(np.float32))
    return clips


def mixes(clips: list[Wave], data: Path) -> list[Wave]:
    """Add held-out noise to each clip, and to some also a held-out RIR."""
    noises = load_sounds(data / "noise", SAMPLE_RATE, validation=True)
    rirs = load_sounds(data / "rir", SAMPLE_RATE, validation=True)
    mixed = []
    for number, clean in enumerate(clips):
        rng = np.random.default_rng((2020, number))
        wave = clean.astype(np.float64)
        if is_reverberant(number):
            wave = reverberate(wave, *draw_rir(rng, rirs, SAMPLE_RATE, varied=False))
        noise = draw_noise(rng, noises, len(wave), SAMPLE_RATE, varied=False)
        noisy = mix(wave, noise, snr_db(number))
        mixed.append((noisy / max(1.0, np.abs(noisy).max())).astype(np.float32))
    return mixed


def is_reverberant(number: int) -> bool:
    """Return whether mix `number` has reverberation."""
    return number % 5 < REVERBERANT_IN_FIVE


def snr_db(number: int) -> float:
    """Return the signal-to-noise ratio of mix `number`."""
    return SNRS_DB[number % len(SNRS_DB)]


def degradation(number: int) -> str:
    """Return the type of degradation of mix `number`."""
    reverb = "reverberation" if is_reverberant(number) else "no reverberation"
    return f"{reverb}, {'0 and 5' if snr_db(number) < 7 else '10 and 15'} dB"


def scores(wave: Wave, clean: Wave) -> Scores:
    """Compute the metrics of one clip."""
    predicted = dnsmos(wave, SAMPLE_RATE)
    result = {name: predicted[name] for name in ("ovrl", "sig", "bak")}
    result |= distillmos(wave, SAMPLE_RATE)
    length = min(len(wave), len(clean))
    pair = ChannelPair(clean[:length], wave[:length], SAMPLE_RATE)
    result["stoi"] = float(stoi(pair)["stoi"] or np.nan)
    return result


def means(results: Sequence[Scores]) -> Scores:
    """Return the mean of each metric."""
    return {name: float(np.nanmean([result[name] for result in results])) for name in METRICS}


def all_systems(options: argparse.Namespace) -> dict[str, Callable[[Wave], Wave]]:
    """Return the systems to compare, by title."""
    vocoder = load_model(options.model)

    def resynthesis(mode: str, attenuation_limit_db: float | None = None) -> Callable[[Wave], Wave]:
        enhancer = options.enhancer if mode in ("both", "restore") else None
        stages = load_enhancement(
            mode,
            enhancer=enhancer,
            attenuation_limit_db=attenuation_limit_db,
            device=vocoder.device,
        )

        def run(wave: Wave) -> Wave:
            audio = Audio(wave[None], SAMPLE_RATE)
            generated = vocoder.resynthesize(audio, enhancement=stages).samples[0]
            return np.asarray(np.clip(generated, -1, 1))

        return run

    noise_filter = NoiseFilter()

    def filter_noise(wave: Wave) -> Wave:
        blocks = noise_filter.filtered(Audio(wave[None], SAMPLE_RATE)).blocks()
        return np.asarray(np.concatenate(list(blocks), axis=1)[0])

    return {
        "input": lambda wave: wave,
        **{title: resynthesis(mode) for mode, title in MODES.items()},
        **{
            f"`--attenuation-limit {limit:g}`": resynthesis("both", limit)
            for limit in options.limit
        },
        WITHOUT_VOCODER: filter_noise,
    }


def tables(
    noisy: dict[str, list[Scores]], degradations: Sequence[str], clean: dict[str, list[Scores]]
) -> str:
    """Return the Markdown of all tables."""
    count = len(degradations)
    parts = [table(f"{count} noisy mixes", {s: means(r) for s, r in noisy.items()})]
    rows = []
    for name in sorted(set(degradations)):
        numbers = [number for number, other in enumerate(degradations) if other == name]
        for system in ("input", MODES["both"], WITHOUT_VOCODER):
            result = means([noisy[system][number] for number in numbers])
            rows.append((f"{name} ({len(numbers)}): {system}", result))
    parts.append(table("by type of degradation", dict(rows)))
    count = len(next(iter(clean.values())))
    parts.append(table(f"{count} clean clips", {s: means(r) for s, r in clean.items()}))
    return "\n\n".join(parts)


def table(title: str, results: dict[str, Scores]) -> str:
    """Return a Markdown table with a row per system and a column per metric."""
    lines = [f"| {title} | {' | '.join(METRICS.values())} |", "|---" * (1 + len(METRICS)) + "|"]
    for system, values in results.items():
        cells = (f"{values[name]:.3f}" for name in METRICS)
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> str:
    """Compute the metrics of every system on every clip; return the tables."""
    torch.set_grad_enabled(mode=False)
    clips = speech(SHARED_DATA)
    noisy = mixes(clips, SHARED_DATA)
    # Every third mix covers all SNRs, also with reverberation; every second only two SNRs.
    numbers = range(len(clips)) if options.clips >= len(clips) else range(0, len(clips), 3)
    numbers = numbers[: options.clips]
    degraded: dict[str, list[Scores]] = {}
    clean: dict[str, list[Scores]] = {}
    for title, system in all_systems(options).items():
        degraded[title] = [scores(system(noisy[n]), clips[n]) for n in numbers]
        print(title, "noisy", means(degraded[title]), flush=True)
        clean[title] = [scores(system(clips[n]), clips[n]) for n in numbers[:CLEAN_CLIPS]]
        print(title, "clean", means(clean[title]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"noisy": degraded, "clean": clean}, indent=2))
    return tables(degraded, [degradation(n) for n in numbers], clean)


def time_modes(rounds: int) -> str:
    """Time complete `hifigan resynth` processes alternately; return a table of medians."""
    times_s: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "recording.wav")
        samples = np.concatenate(speech(SHARED_DATA) * 2)[: TIMED_SPEECH_S * SAMPLE_RATE]
        rng = np.random.default_rng(0)
        noise = rng.normal(0, SPEECH_RMS / 10, len(samples)).astype(np.float32)
        write_audio(recording, (samples + noise)[None], SAMPLE_RATE)
        for round_index in range(rounds + 1):  # the first loads the files into the cache
            for mode, times in times_s.items():
                output = ("-o", f"{folder}/out.wav", "--force", "--quiet")
                command = [sys.executable, "-m", "hifigan_cli", "resynth", str(recording), *output]
                started = time.perf_counter()
                subprocess.run([*command, "--enhance", mode], check=True)
                if round_index:
                    times.append(time.perf_counter() - started)
    lines = [f"| {TIMED_SPEECH_S} s of speech, {cpu_name()} | seconds | ratio |", "|---|---|---|"]
    for mode, times in times_s.items():
        ratios = [a / b for a, b in zip(times, times_s["off"], strict=True)]
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if mode != "off" else ""
        cells = f"{statistics.median(times):.1f} | {statistics.median(ratios):.2f}{spread}"
        lines.append(f"| `--enhance {mode}` | {cells} |")
    return "\n".join(lines)


def draw_picture(path: Path) -> None:
    """Draw the mels of a noisy mix and of the output of `hifigan resynth`."""
    vocoder = load_model("universal-v1")
    noisy = Audio(mixes(speech(SHARED_DATA), SHARED_DATA)[PICTURE_MIX][None], SAMPLE_RATE)
    output = vocoder.resynthesize(noisy, enhancement=load_enhancement("both", device="cpu"))
    mels = [
        ("noisy recording", vocoder.mel(noisy)[0]),
        ("output of hifigan resynth", vocoder.mel(output)[0]),
    ]
    save_mel_figure(path, mels, vocoder.model.mel)


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the tables; with `--write`, also write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="vocoder (default: the default model)")
    parser.add_argument("--enhancer", help="enhancer (default: the bundled one)")
    parser.add_argument(
        "--limit", type=float, nargs="*", default=[], help="attenuation limits in dB"
    )
    parser.add_argument("--clips", type=int, default=sum(SPEECH.values()))
    parser.add_argument("--json", type=Path, help="write the metrics of every clip")
    parser.add_argument("--write", action="store_true", help="write the tables into QUALITY.md")
    parser.add_argument("--time", action="store_true", help="measure the time of the modes instead")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of --time")
    parser.add_argument("--picture", type=Path, help="draw a mix and its output instead")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.picture:
        draw_picture(options.picture)
        return
    name = "enhancement time" if options.time else "enhancement"
    text = time_modes(options.rounds) if options.time else compare(options)
    print(text)
    if options.write:
        write_between(QUALITY_PAGE, name, text)


if __name__ == "__main__":
    main()
