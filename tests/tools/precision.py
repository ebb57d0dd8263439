"""Measure the error of reduced precision against the eager engine in float32.

    python -m tests.tools.precision [--model ljspeech-v1] [--clips 10] [--write]

The input is real speech, the LJSpeech clips in `../shared/data`. The Markdown table has the SNR of
each engine, `eager` included, against double precision, and its mel_l1_full and PESQ against
`eager`. `--write` writes it into `.github/SPEED.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.benchmarks.variants import (
    EAGER,
    EngineVariant,
    build_synthesizer,
    find_benchmark_model,
    find_variants,
    synthesize_float64,
)
from hifigan_cli.evaluation import Report, evaluate
from hifigan_cli.runtime.threads import available_threads
from hifigan_cli.synthesis.onnx_export import snr_db
from tests.tools.docs import SPEED_PAGE, write_between
from tests.tools.quality import SETS

METRICS = ("mel", "pesq")


def measure(
    name: str, variants: Sequence[EngineVariant], clips: Sequence[Path], folder: Path
) -> list[tuple[str, float, float, float]]:
    """Return title, mean SNR in dB, mel_l1_full and PESQ of each variant, `eager` first.

    The SNR is relative to double precision, the other metrics to `eager`.
    """
    model = find_benchmark_model(name).model
    threads = available_threads()
    mels = {clip.stem: audio_to_mel(read_audio(clip), model.mel)[None] for clip in clips}
    expected = {stem: synthesize_float64(model, mel) for stem, mel in mels.items()}
    rows = []
    for variant in (EAGER, *variants):
        synthesize = build_synthesizer(variant, model, threads)
        results = folder / variant.title.replace(" ", "_")
        results.mkdir()
        snrs = []
        for stem, mel in mels.items():
            samples = synthesize(mel)
            snrs.append(snr_db(expected[stem], samples))
            write_audio(results / f"{stem}.flac", samples, model.mel.sample_rate)
        if variant == EAGER:
            reference = results
        report = evaluate(reference, results, metrics=METRICS)
        mel_l1, pesq = (_mean(report, column) for column in ("mel_l1_full", "pesq"))
        rows.append((variant.title, float(np.mean(snrs)), mel_l1, pesq))
    return rows


def _mean(report: Report, column: str) -> float:
    summary = report.summary(column)
    return float("nan") if summary is None else summary.mean


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ljspeech-v1")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="write into .github/SPEED.md")
    options = parser.parse_args()
    clips = sorted(SETS["lj38"].iterdir())[: options.clips]
    variants, _ = find_variants(None)
    lines = [
        f"`{options.model}`, {len(clips)} clips of LJSpeech, means:\n",
        "| engine | SNR dB, to fp64 | mel_l1_full, to eager | PESQ, to eager |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for title, snr, mel_l1, pesq in measure(options.model, variants, clips, Path(folder)):
            lines.append(f"| {title} | {snr:.1f} | {mel_l1:.4f} | {pesq:.3f} |")
    text = "\n".join(lines)
    if options.write:
        write_between(SPEED_PAGE, "precision", text)
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
