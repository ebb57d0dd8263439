"""The recipes of the tool's own models: each one command that prepares, trains, and goes on.

    python -m tests.tools.default_models enhancer OUT [--data ../shared/data] [--device cpu]
    python -m tests.tools.default_models vocoder OUT [--device cuda]

The enhancer is packed into `hifigan_cli/assets/` in half precision, with its licences: 75 minutes
on two cores. The vocoder wants a GPU and hours, in as many legs as one likes: the same call goes
on. It becomes the default when `python -m tests.tools.quality OUT/vocoder` says that it passes the
bars; until then `universal-v1` is. On one CPU core an hour of a like recipe is far from them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from hifigan_cli.interchange.locate import ENHANCER_FILE
from hifigan_cli.models.enhancerfile import read_enhancer, write_enhancer
from tests.conftest import SHARED_DATA

SPEECH = ("kathleen", "kerstin", "speechocean")
WIDE = SPEECH[:2]  # recorded at 48 kHz; the rest stops at 8 kHz and cannot teach what lies above
# The paper's V2 and losses. Two voices have to stand for all, so that rate and level are varied.
VOCODER = {
    "steps": 500_000,
    "adversarial_from": 5_000,
    "spectral_weight": 3.0,
    "vary_rate": [0.72, 1.2],
    "vary_level": [0.25, 1.0],
    "ema_decay": 0.999,
}
LICENCE = "MIT"
DATA = (
    "speech of kathleen and kerstin (CC0) and of speechocean762 (CC BY 4.0); "
    "85 noises and 108 room responses, one in eight held out"
)


def hifigan(*arguments: str | Path) -> None:
    """Run the tool; its failure ends the recipe."""
    subprocess.run([sys.executable, "-m", "hifigan_cli", *map(str, arguments)], check=True)


def prepare(data: Path, out: Path, speakers: tuple[str, ...]) -> Path:
    """Prepare the recordings of some speakers together; return the folder."""
    name = "-".join(speakers)
    corpus = out / f"corpus-{name}"
    for speaker in speakers:
        if not (corpus / speaker).exists():
            shutil.copytree(data / "train" / speaker, corpus / speaker)
    hifigan("preprocess", corpus, "--out", out / name)
    return out / name


def train_enhancer(data: Path, out: Path, device: str) -> None:
    """Train the enhancer, or go on, and pack it."""
    speech = prepare(data, out, SPEECH)
    sounds = ("--noises", data / "noise", "--rooms", data / "rir")
    run = out / "enhancer"
    hifigan("train-enhancer", speech, *sounds, "--out", run, "--device", device)
    model = read_enhancer(run / ENHANCER_FILE.name)
    weights = {key: value.astype(np.float16) for key, value in model.weights.items()}
    origin = {**model.provenance, "name": "hifigan-enhancer", "licence": LICENCE, "data": DATA}
    write_enhancer(ENHANCER_FILE, replace(model, weights=weights, provenance=origin))


def train_vocoder(data: Path, out: Path, device: str) -> None:
    """Train the vocoder, or go on."""
    sets = [part for key, value in VOCODER.items() for part in ("--set", f"{key}={value}")]
    run = ("--out", out / "vocoder", "--device", device)
    hifigan("train", prepare(data, out, WIDE), "--preset", "v2", "--bf16", *sets, *run)


def main() -> None:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    recipes = {"enhancer": train_enhancer, "vocoder": train_vocoder}
    parser.add_argument("model", choices=recipes)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    recipes[options.model](options.data, options.out, options.device)


if __name__ == "__main__":
    main()
