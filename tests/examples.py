"""The `hifigan` lines of the README and of the pages beside it, and a folder to run them in."""

from __future__ import annotations

import csv
import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import torch

from hifigan_cli.config import preset
from hifigan_cli.config.resolve import to_toml
from hifigan_cli.data.preparation.splits import official_ids
from tests.data.corpora import pairs, write
from tests.enhancement.small import sounds
from tests.helpers import ROOT, speech
from tests.importers.test_official import write_official
from tests.models_for_tests import write_tiny_model
from tests.training import small

DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md")))
_BLOCK = re.compile(r"```(?:sh|console)\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(
    r"(?:^|[|&] |\$ )(?:hifigan|torchrun .*-m hifigan_cli) ([^|#\n]*)", re.MULTILINE
)


def examples() -> list[str]:
    """List what follows `hifigan` in all code blocks, each once; continued lines are joined.

    What a shell does around it, other programs in a pipe and comments, is left out.
    """
    found = []
    for document in DOCUMENTS:
        for block in _BLOCK.findall(document.read_text("utf-8")):
            found += [
                " ".join(words.split()) for words in _COMMAND.findall(block.replace("\\\n", " "))
            ]
    return list(dict.fromkeys(found))


def mentions() -> list[str]:
    """List what follows `hifigan` in the text between, where options come with it."""
    found = []
    for document in DOCUMENTS:
        text = _BLOCK.sub("", document.read_text("utf-8"))
        found += re.findall(r"`hifigan ([a-z-]+ [^`]*-[^`]*)`", text)
    return list(dict.fromkeys(found))


def furnish(folder: Path) -> None:
    """Put there what a reader of the examples would have, all of it small."""
    recordings = folder / "recordings"
    pairs(recordings, folder / "predicted", 3)
    shutil.copytree(folder / "predicted", folder / "mels")
    for name in ("folder", "held-out", "corpus"):
        shutil.copytree(recordings, folder / name)
    sound = next(iter(sorted(recordings.glob("*.wav"))))
    for name in ("noisy", "voice", "recording"):
        shutil.copy(sound, folder / f"{name}.wav")
    mel = np.load(folder / "mels/clip000.npy")
    np.save(folder / "mel.npy", mel)
    np.save(folder / "theirs.npy", (mel * 20 / np.log(10)).astype(np.float32))
    model = write_tiny_model(folder / "model.safetensors")
    for name in ("v1", "mine"):
        (folder / "runs" / name / "checkpoints").mkdir(parents=True)
        shutil.copy(model, folder / "runs" / name)
        (folder / "runs" / name / "config.toml").write_text(to_toml(preset("v1")))
    _ljspeech(folder / "LJSpeech-1.1")
    _theirs(folder)
    sounds(folder)  # noises/, rirs/ and prepared/
    shutil.copytree(folder / "prepared", folder / "shared/prepared")
    small.prepare(folder / "prepared-tts", mels=True)
    (folder / "my.toml").write_text(to_toml(preset("v2")))


def _ljspeech(folder: Path) -> None:
    """Write a corpus of LJSpeech's layout, two of its clips among the official validation ones."""
    names = [*itertools.islice(sorted(official_ids()), 2), "LJ001-0001", "LJ001-0002"]
    for name in names:
        write(folder / "wavs" / f"{name}.wav", speech(0.5, seed=len(name)))
    with (folder / "metadata.csv").open("w", newline="") as stream:
        csv.writer(stream, delimiter="|").writerows([name, "text", "text"] for name in names)


def _theirs(folder: Path) -> None:
    """Write a checkpoint of the official code, with an average, and its configuration."""
    written = write_official(folder)
    state = torch.load(written, weights_only=True)
    torch.save({**state, "generator_ema": state["generator"]}, folder / "their.ckpt")
    written.unlink()
