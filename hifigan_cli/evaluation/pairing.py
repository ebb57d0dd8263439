"""Pair generated files with recordings: two files, or folders with the same relative file stems."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import is_folder


@dataclass(frozen=True)
class FilePair:
    """A recording and the file generated from it, under one name."""

    name: str
    reference: Path
    generated: Path


@dataclass(frozen=True)
class PairedFiles:
    """The files of two folders: the pairs, and the files without a partner."""

    pairs: tuple[FilePair, ...]
    unmatched_references: tuple[Path, ...] = ()
    unmatched_generated: tuple[Path, ...] = ()


def pair_files(reference: Path, generated: Path) -> PairedFiles:
    """Pair two files, or the audio files in two folders; extensions may differ.

    Raises:
        UsageError: one path is a file, the other a folder.
        InputError: a folder has no audio files, or the folders have no names in common.
    """
    folders = is_folder(reference), is_folder(generated)
    if folders == (False, False):
        return PairedFiles((FilePair(reference.stem, reference, generated),))
    if folders != (True, True):
        raise UsageError(
            f"one of {reference} and {generated} is a folder, the other is not",
            "use two files or two folders",
        )
    references, generated_files = _audio_by_name(reference), _audio_by_name(generated)
    common = [name for name in references if name in generated_files]
    if not common:
        raise InputError(
            f"no file name in {generated} matches one in {reference}",
            "two files match if their names differ only in the extension",
        )
    return PairedFiles(
        tuple(FilePair(name, references[name], generated_files[name]) for name in common),
        tuple(path for name, path in references.items() if name not in generated_files),
        tuple(path for name, path in generated_files.items() if name not in references),
    )


def _audio_by_name(folder: Path) -> dict[str, Path]:
    """Return the audio files below a folder by relative stem.

    If a.wav and a.flac both exist, their names include the extension. `resynth` names its results
    by the same rule.
    """
    audio_files = []
    for parent, _, files in os.walk(folder, onerror=_raise_unreadable):
        paths = (Path(parent, name) for name in files)
        audio_files += [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    if not audio_files:
        suffixes = " ".join(sorted(AUDIO_SUFFIXES))
        raise InputError(f"{folder} has no audio files", f"audio files end in {suffixes}")
    relative = {path.relative_to(folder): path for path in sorted(audio_files)}
    stems = Counter(name.with_suffix("") for name in relative)
    return {
        str(name.with_suffix("") if stems[name.with_suffix("")] == 1 else name): path
        for name, path in relative.items()
    }


def _raise_unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: {error.strerror}") from error
