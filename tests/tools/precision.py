"""Measure what reduced precision costs: its output against that of the plain forward in fp32.

    python -m tests.tools.precision [--model ljspeech-v1] [--clips 10] [--write]

On real speech, the LJSpeech clips in `../shared/data`. Prints a Markdown table, or writes it into
.github/SPEED.md: SNR, mel_l1_full
and PESQ of each engine's output, the plain forward's output being the reference, and the SNR of
the plain forward itself against double precision.
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
from hifigan_cli.benchmarks.contenders import (
    YARDSTICK,
    Contender,
    exact_samples,
    find_contenders,
    find_subject,
    make_synthesis,
)
from hifigan_cli.evaluation import Report, evaluate
from hifigan_cli.runtime.threads import available_threads
from hifigan_cli.synthesis.onnx_export import snr_db
from tests.helpers import ROOT
from tests.tools.quality import SETS
from tests.tools.readme import between

METRICS = ("mel", "pesq")
PAGE = ROOT / ".github/SPEED.md"


def measure(
    name: str, contenders: Sequence[Contender], clips: Sequence[Path], folder: Path
) -> list[tuple[str, float, float, float]]:
    """Return title, mean SNR in dB, mel_l1_full and PESQ of each contender, the yardstick first.

    SNRs are against double precision, the rest against the yardstick.
    """
    model = find_subject(name).model
    threads = available_threads()
    mels = {clip.stem: audio_to_mel(read_audio(clip), model.mel)[None] for clip in clips}
    exact = {stem: exact_samples(model, mel) for stem, mel in mels.items()}
    rows = []
    for contender in (YARDSTICK, *contenders):
        synthesise = make_synthesis(contender, model, threads)
        place = folder / contender.title.replace(" ", "_")
        place.mkdir()
        snrs = []
        for stem, mel in mels.items():
            samples = synthesise(mel)
            snrs.append(snr_db(exact[stem], samples))
            write_audio(place / f"{stem}.flac", samples, model.mel.sample_rate)
        if contender == YARDSTICK:
            reference = place
        report = evaluate(reference, place, metrics=METRICS)
        mel_l1, pesq = (_mean(report, column) for column in ("mel_l1_full", "pesq"))
        rows.append((contender.title, float(np.mean(snrs)), mel_l1, pesq))
    return rows


def _mean(report: Report, column: str) -> float:
    summary = report.summary(column)
    return float("nan") if summary is None else summary.mean


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ljspeech-v1")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="into .github/SPEED.md")
    options = parser.parse_args()
    clips = sorted(SETS["lj38"].iterdir())[: options.clips]
    contenders, _ = find_contenders(None)
    lines = [
        f"`{options.model}`, {len(clips)} clips of LJSpeech, means:\n",
        "| engine | SNR dB, to fp64 | mel_l1_full, to plain | PESQ, to plain |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for title, snr, mel_l1, pesq in measure(options.model, contenders, clips, Path(folder)):
            lines.append(f"| {title} | {snr:.1f} | {mel_l1:.4f} | {pesq:.3f} |")
    text = "\n".join(lines)
    if options.write:
        PAGE.write_text(between(PAGE.read_text("utf-8"), "precision", text), "utf-8")
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
