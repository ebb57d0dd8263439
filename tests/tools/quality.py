"""Measure copy-synthesis: the table in `.github/QUALITY.md`.

    python -m tests.tools.quality [MODEL ...] [--set lj38] [--metrics mel,pesq] [--keep FOLDER]

A MODEL is a name, a file or a run's folder, as for `hifigan resynth --model`, or `griffin-lim`, the
lower bound. Each clip is resynthesized completely, without enhancement, and compared with its
recording by `hifigan_cli.evaluation`. The table has the means over clips and the strictest
threshold that they pass.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from hifigan_cli.api import load_model, resynthesize
from hifigan_cli.audio import Audio, mel_spectrogram, read_audio, resample
from hifigan_cli.config import MelConfig
from hifigan_cli.evaluation import Report, check_threshold, evaluate
from hifigan_cli.evaluation.metrics import COLUMNS
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from tests.tools.griffin_lim import griffin_lim

DATA = Path(__file__).parents[3] / "shared" / "data" / "valid"
SETS = {"lj38": DATA / "ljspeech", "aishell3": DATA / "aishell3"}
GRIFFIN_LIM = "griffin-lim"
MODELS = ("universal-v1", "ljspeech-v1", GRIFFIN_LIM)
METRICS = (
    "mel_l1",
    "mel_l1_full",
    "log_magnitude",
    "mcd",
    "pesq",
    "estoi",
    "vuv_error",
    "periodicity_rmse",
    "silence_delta",
    "high_bias",
    "distillmos",
    "dnsmos_ovrl",
)


def copy_synthesizer(model: str) -> Callable[[Audio], Audio]:
    """Return a function that resynthesizes a recording with a model."""
    if model == GRIFFIN_LIM:
        return _griffin_lim_copy
    vocoder = load_model(model)
    return lambda recording: resynthesize(recording, vocoder, enhance="off")


def _griffin_lim_copy(recording: Audio) -> Audio:
    config = MelConfig()
    samples = resample(recording.mono().samples, recording.sample_rate, config.sample_rate)
    mel = mel_spectrogram(torch.from_numpy(samples), config)[0]
    return Audio(griffin_lim(mel, config)[None].numpy(), config.sample_rate)


def measure(
    model: str,
    clips: Sequence[Path],
    folder: Path,
    *,
    metrics: Sequence[str] | None = None,
    workers: int | None = None,
) -> Report:
    """Resynthesize clips into a folder and evaluate them; skip those that exist."""
    synthesize = copy_synthesizer(model)
    references = folder / "references"
    references.mkdir(parents=True, exist_ok=True)
    outputs = folder / model.replace("/", "_")
    for clip in clips:
        link, output = references / clip.name, outputs / f"{clip.stem}.wav"
        if not link.exists():
            link.symlink_to(clip.resolve())
        if not output.exists():
            synthesize(read_audio(clip)).save(output)
    return evaluate(references, outputs, metrics=metrics, workers=workers)


def row(label: str, report: Report) -> str:
    """Return a row of the Markdown table."""
    cells = [label, str(len(report.clips))]
    for name in METRICS:
        summary = report.summary(name)
        cells.append("-" if summary is None else f"{summary.mean:.{COLUMNS[name].digits}f}")
    passed = (n for n in THRESHOLDS if all(r.passed for r in check_threshold(report, n)))
    return f"| {' | '.join([*cells, next(passed, 'none')])} |\n"


def main() -> None:
    """Print the Markdown table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--set", dest="sets", action="append", choices=SETS)
    parser.add_argument("--metrics", type=lambda text: text.split(","))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--keep", type=Path, help="folder for the outputs; existing ones are used")
    options = parser.parse_args()
    headers = [f"{COLUMNS[n].title} {COLUMNS[n].unit}".strip() for n in METRICS]
    sys.stdout.write(f"| model, set | clips | {' | '.join(headers)} | threshold passed |\n")
    sys.stdout.write("|---" * (len(METRICS) + 3) + "|\n")
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for model in options.models:
            for name in options.sets or SETS:
                clips = sorted(SETS[name].iterdir())
                report = measure(
                    model, clips, folder / name, metrics=options.metrics, workers=options.workers
                )
                sys.stdout.write(row(f"{model}, {name}", report))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
