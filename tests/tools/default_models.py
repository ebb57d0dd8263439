"""The recipes of the tool's own models: each one command that prepares, trains, and goes on.

    python -m tests.tools.default_models enhancer OUT [--data ../shared/data] [--device cpu]
    python -m tests.tools.default_models vocoder OUT [--device cuda]

The enhancer is packed into `hifigan_cli/assets/` in half precision, with its licences: 60 to 75
minutes on a CPU of two cores. The vocoder wants a GPU and hours, in as many legs as one likes: the
same call goes on, and `--minutes` ends a leg. It becomes the default when
`python -m tests.tools.quality OUT/vocoder` says that it passes the thresholds; until then
`universal-v1` is. On one CPU core an hour of a like recipe is far from them.

A leg on a machine that is lent bare and takes back files of 16 MiB, 64 MiB in all, with the corpus
and the last leg's files in `leg/`: the checkpoint is 65 MiB, and packed below 61.

    cat leg/part.* | tar -xz -C /tmp/run
    python -m tests.tools.default_models vocoder /tmp/run --data data --minutes 8
    tar -cz -C /tmp/run vocoder/checkpoints vocoder/config.toml | split -b 15M - leg/part.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hifigan_cli.enhancement.model_file import MODEL_FILE, read_enhancer, write_enhancer
from hifigan_cli.enhancement.stages import ENHANCER_FILE
from tests.conftest import SHARED_DATA

SPEECH = ("kathleen", "kerstin", "speechocean")
WIDE = SPEECH[:2]  # recorded at 48 kHz; the rest stops at 8 kHz and cannot teach what lies above
# The paper's V2 and losses. Two voices have to stand for all, so that rate and level are varied.
# Discriminators of a quarter of their width take a sixteenth of the work, and their checkpoint a
# thirteenth of the space.
VOCODER = {
    "steps": 500_000,
    "adversarial_start": 5_000,
    "stft_weight": 3.0,
    "speed_range": [0.72, 1.2],
    "peak_range": [0.25, 1.0],
    "ema_decay": 0.999,
    "discriminator_width": 0.25,
    "keep_checkpoints": 1,
}
LICENCE = "MIT"
STOPPED = 128 + signal.SIGTERM  # the exit code after a signal, when all is saved
DATA = (
    "speech of kathleen and kerstin (CC0) and of speechocean762 (CC BY 4.0); "
    "85 noises and 108 room responses, one in eight held out"
)


@dataclass(frozen=True)
class Recipe:
    """Where to train, for how long, and with what other settings."""

    data: Path
    out: Path
    device: str
    minutes: float | None
    sets: list[str]
    pack: Path

    def options(self, name: str) -> list[str | Path]:
        """Return what both trainings are told."""
        sets = [part for item in self.sets for part in ("--set", item)]
        return ["--out", self.out / name, "--device", self.device, *sets]


def hifigan(*arguments: str | Path, minutes: float | None = None) -> bool:
    """Run the tool; its failure ends the recipe. False: the time was up, and its state is saved."""
    line = [sys.executable, "-m", "hifigan_cli", *map(str, arguments)]
    with subprocess.Popen(line) as process:
        try:
            process.wait(minutes and 60 * minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            if process.wait() == STOPPED:
                return False
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line)
    return True


def prepare(data: Path, out: Path, speakers: tuple[str, ...]) -> Path:
    """Prepare the recordings of some speakers together; return the folder."""
    name = "-".join(speakers)
    corpus = out / f"corpus-{name}"
    for speaker in speakers:
        if not (corpus / speaker).exists():
            shutil.copytree(data / "train" / speaker, corpus / speaker)
    hifigan("preprocess", corpus, "--out", out / name)
    return out / name


def train_enhancer(recipe: Recipe) -> None:
    """Train the enhancer, or go on, and pack it when it is done."""
    speech = prepare(recipe.data, recipe.out, SPEECH)
    sounds = ("--noises", recipe.data / "noise", "--rirs", recipe.data / "rir")
    train = ("train-enhancer", speech, *sounds, *recipe.options("enhancer"))
    if not hifigan(*train, minutes=recipe.minutes):
        return
    model = read_enhancer(recipe.out / "enhancer" / MODEL_FILE)
    weights = {key: value.astype(np.float16) for key, value in model.weights.items()}
    origin = {**model.provenance, "name": "hifigan-enhancer", "licence": LICENCE, "data": DATA}
    write_enhancer(recipe.pack, replace(model, weights=weights, provenance=origin))


def train_vocoder(recipe: Recipe) -> None:
    """Train the vocoder, or go on."""
    sets = [part for key, value in VOCODER.items() for part in ("--set", f"{key}={value}")]
    speech = prepare(recipe.data, recipe.out, WIDE)
    options = ("--preset", "v2", "--bf16", *sets, *recipe.options("vocoder"))
    hifigan("train", speech, *options, minutes=recipe.minutes)


def main() -> None:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    recipes = {"enhancer": train_enhancer, "vocoder": train_vocoder}
    parser.add_argument("model", choices=recipes)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, help="of training; then save")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--pack", type=Path, default=ENHANCER_FILE, help="where the enhancer goes")
    options = vars(parser.parse_args())
    recipes[options.pop("model")](Recipe(**options))


if __name__ == "__main__":
    main()
