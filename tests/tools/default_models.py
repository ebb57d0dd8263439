"""Train the default models: one command each prepares the data and trains, or resumes.

    python -m tests.tools.default_models enhancer OUT [--data ../shared/data] [--device cpu]
    python -m tests.tools.default_models vocoder OUT [--device cuda]

The enhancer takes 60 to 75 minutes on two CPU cores. It is written to `hifigan_cli/assets/` in half
precision, with its license. The vocoder needs hours on a GPU. `--minutes` limits a session,
and the same command resumes. The vocoder becomes the default when `python -m tests.tools.quality
OUT/vocoder` shows that it passes the thresholds; until then the default is `universal-v1`. One hour
of a similar recipe on one CPU core is far from them.

To move a run between machines, pack its folder after each session. The checkpoint has 65 MiB, 61
compressed. With the corpus in `data/` and the files of the last session in `session/`:

    cat session/part.* | tar -xz -C /tmp/run
    python -m tests.tools.default_models vocoder /tmp/run --data data --minutes 8
    tar -cz -C /tmp/run vocoder/checkpoints vocoder/config.toml | split -b 15M - session/part.
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
WIDEBAND_SPEECH = SPEECH[:2]  # recorded at 48 kHz; the rest has nothing above 8 kHz
# The paper's V2 and losses. There are only two voices, so speed and level are varied. At a quarter
# of the width, discriminators need a sixteenth of the operations and a thirteenth of the file size.
VOCODER = {
    "steps": 500_000,
    "adversarial_start": 5_000,
    "stft_weight": 3.0,
    "speed_range": [0.72, 1.2],
    "gain_range": [0.25, 1.0],
    "ema_decay": 0.999,
    "discriminator_width": 0.25,
    "keep_checkpoints": 1,
}
LICENSE = "MIT"
STOPPED_EXIT_CODE = 128 + signal.SIGTERM  # after a signal, when the state is saved
DATA = (
    "speech of kathleen and kerstin (CC0) and of speechocean762 (CC BY 4.0); "
    "85 noises and 108 room impulse responses, one in eight held out"
)


@dataclass(frozen=True)
class Recipe:
    """Where and how to train."""

    data: Path
    out: Path
    device: str
    minutes: float | None
    settings: list[str]
    asset_out: Path

    def options(self, name: str) -> list[str | Path]:
        """Return the options that both training commands take."""
        settings = [part for item in self.settings for part in ("--set", item)]
        return ["--out", self.out / name, "--device", self.device, *settings]


def hifigan(*arguments: str | Path, minutes: float | None = None) -> bool:
    """Run `hifigan`; return False if the time was up and the state is saved.

    Raises:
        CalledProcessError: the command failed.
    """
    command = [sys.executable, "-m", "hifigan_cli", *map(str, arguments)]
    with subprocess.Popen(command) as process:
        try:
            process.wait(minutes and 60 * minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            if process.wait() == STOPPED_EXIT_CODE:
                return False
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return True


def prepare(data: Path, out: Path, speakers: tuple[str, ...]) -> Path:
    """Prepare the recordings of some speakers in one folder; return it."""
    name = "-".join(speakers)
    corpus = out / f"corpus-{name}"
    for speaker in speakers:
        if not (corpus / speaker).exists():
            shutil.copytree(data / "train" / speaker, corpus / speaker)
    hifigan("preprocess", corpus, "--out", out / name)
    return out / name


def train_enhancer(recipe: Recipe) -> None:
    """Train the enhancer, or resume; write the packed model when it is complete."""
    speech = prepare(recipe.data, recipe.out, SPEECH)
    sound_options = ("--noises", recipe.data / "noise", "--rirs", recipe.data / "rir")
    command = ("train-enhancer", speech, *sound_options, *recipe.options("enhancer"))
    if not hifigan(*command, minutes=recipe.minutes):
        return
    model = read_enhancer(recipe.out / "enhancer" / MODEL_FILE)
    weights = {key: value.astype(np.float16) for key, value in model.weights.items()}
    provenance = {**model.provenance, "name": "hifigan-enhancer", "license": LICENSE, "data": DATA}
    write_enhancer(recipe.asset_out, replace(model, weights=weights, provenance=provenance))


def train_vocoder(recipe: Recipe) -> None:
    """Train the vocoder, or resume."""
    settings = [part for key, value in VOCODER.items() for part in ("--set", f"{key}={value}")]
    speech = prepare(recipe.data, recipe.out, WIDEBAND_SPEECH)
    options = ("--preset", "v2", "--bf16", *settings, *recipe.options("vocoder"))
    hifigan("train", speech, *options, minutes=recipe.minutes)


def main() -> None:
    """Train one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    recipes = {"enhancer": train_enhancer, "vocoder": train_vocoder}
    parser.add_argument("model", choices=recipes)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, help="stop and save after this time")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--asset-out", type=Path, default=ENHANCER_FILE, help="where to write the packed enhancer"
    )
    options = vars(parser.parse_args())
    recipes[options.pop("model")](Recipe(**options))


if __name__ == "__main__":
    main()
