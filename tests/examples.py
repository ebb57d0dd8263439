"""The `hifigan` examples of the README and of the pages in .github, and the files they need."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch

from hifigan_cli.config import preset
from hifigan_cli.config.files import to_toml
from hifigan_cli.data.preparation.splits import official_ids
from tests.config.official import OFFICIAL_CONFIG
from tests.data.corpora import write, write_pairs
from tests.enhancement.helpers import sounds
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
    """List the arguments of `hifigan` in all code blocks, without duplicates.

    Continued lines are joined. Comments and other programs in a pipe are dropped.
    """
    arguments = []
    for document in DOCUMENTS:
        for block in _BLOCK.findall(document.read_text("utf-8")):
            commands = _COMMAND.findall(block.replace("\\\n", " "))
            arguments += [" ".join(command.split()) for command in commands]
    return list(dict.fromkeys(arguments))


def inline_examples() -> list[str]:
    """List the arguments of `hifigan` outside code blocks, if they have options."""
    arguments = []
    for document in DOCUMENTS:
        text = _BLOCK.sub("", document.read_text("utf-8"))
        arguments += re.findall(r"`hifigan ([a-z-]+ [^`]*-[^`]*)`", text)
    return list(dict.fromkeys(arguments))


def create_example_files(folder: Path) -> None:
    """Create small versions of all files that the examples use."""
    recordings = folder / "recordings"
    write_pairs(recordings, folder / "predicted", 3)
    shutil.copytree(folder / "predicted", folder / "mels")
    for name in ("folder", "held-out", "corpus"):
        shutil.copytree(recordings, folder / name)
    recording = min(recordings.glob("*.wav"))
    for name in ("noisy", "voice", "recording"):
        shutil.copy(recording, folder / f"{name}.wav")
    mel = np.load(folder / "mels/clip000.npy")
    np.save(folder / "mel.npy", mel)
    np.save(folder / "theirs.npy", (mel * 20 / np.log(10)).astype(np.float32))
    model = write_tiny_model(folder / "model.safetensors")
    for name in ("v1", "mine"):
        (folder / "runs" / name / "checkpoints").mkdir(parents=True)
        shutil.copy(model, folder / "runs" / name)
        (folder / "runs" / name / "config.toml").write_text(to_toml(preset("v1")))
    _write_ljspeech(folder / "LJSpeech-1.1")
    _write_official_ema(folder)
    sounds(folder)  # noises/, rirs/ and prepared/
    shutil.copytree(folder / "prepared", folder / "shared/prepared")
    small.prepare(folder / "prepared-tts", mels=True)
    (folder / "my.toml").write_text(to_toml(preset("v2")))
    (folder / "config_v1.json").write_text(json.dumps(OFFICIAL_CONFIG))


def _write_ljspeech(folder: Path) -> None:
    """Write a corpus in LJSpeech's layout, with two clips of the official validation set."""
    names = [*itertools.islice(sorted(official_ids()), 2), "LJ001-0001", "LJ001-0002"]
    for name in names:
        write(folder / "wavs" / f"{name}.wav", speech(0.5, seed=len(name)))
    with (folder / "metadata.csv").open("w", newline="") as stream:
        csv.writer(stream, delimiter="|").writerows([name, "text", "text"] for name in names)


def _write_official_ema(folder: Path) -> None:
    """Write an official checkpoint with averaged weights, and its configuration."""
    path = write_official(folder)
    state = torch.load(path, weights_only=True)
    torch.save({**state, "generator_ema": state["generator"]}, folder / "their.ckpt")
    path.unlink()
