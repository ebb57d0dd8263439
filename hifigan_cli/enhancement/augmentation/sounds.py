"""Folders of noises and room responses: read once, some of them held out for validation.

What is held out depends on the file's name alone, so that a later evaluation can use sounds that no
training has heard.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

HELD_OUT_ONE_IN = 8


def held_out(name: str) -> bool:
    """Tell whether a sound of this file name is kept from training."""
    return hashlib.sha256(_bytes(name)).digest()[0] % HELD_OUT_ONE_IN == 0


def sound_files(folder: Path) -> list[Path]:
    """List the audio files below a folder, sorted.

    Raises:
        InputError: the folder is missing or has none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not found:
        raise InputError(f"{folder} has no audio files", "name a folder of recordings")
    return found


def load_sounds(folder: Path, rate_hz: int, *, validation: bool) -> list[npt.NDArray[np.float32]]:
    """Read the folder's sounds for training, or those held out, as mono `(samples,)` at a rate.

    A folder too small to spare any gives all of them to both.

    Raises:
        InputError: the folder has no audio, or a file cannot be read.
    """
    files = sound_files(folder)
    chosen = [path for path in files if held_out(path.name) == validation]
    sounds = []
    for path in chosen or files:
        audio = read_audio(path).mono()
        sounds.append(resample(audio.samples, audio.rate_hz, rate_hz)[0])
    return sounds


def fingerprint(folder: Path) -> str:
    """Return a SHA-256 over the names and bytes of a folder's sounds, in hexadecimal.

    Raises:
        InputError: the folder has no audio, or a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sound_files(folder):
        digest.update(_bytes(f"{path.relative_to(folder)} "))
        with open_regular(path) as stream:  # a FIFO would hang
            digest.update(hashlib.sha256(stream.read()).digest())
    return digest.hexdigest()


def _bytes(name: str) -> bytes:
    """Return a file's name as the file system has it; it may be no UTF-8."""
    return name.encode("utf-8", "surrogateescape")
