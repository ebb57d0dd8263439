"""Which result belongs to which recording: two files, or folders that share relative stems."""

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
    """A recording and its result, under one name."""

    name: str
    reference: Path
    hypothesis: Path


@dataclass(frozen=True)
class PairedFiles:
    """Files of two folders: those that belong together, and those without a partner."""

    pairs: tuple[FilePair, ...]
    unmatched_references: tuple[Path, ...] = ()
    unmatched_hypotheses: tuple[Path, ...] = ()


def pair_files(reference: Path, hypothesis: Path) -> PairedFiles:
    """Pair two files, or the recordings in two folders; extensions may differ.

    Raises:
        UsageError: a file against a folder.
        InputError: a folder without audio, or two folders that share no name.
    """
    folders = is_folder(reference), is_folder(hypothesis)
    if folders == (False, False):
        return PairedFiles((FilePair(reference.stem, reference, hypothesis),))
    if folders != (True, True):
        raise UsageError(
            f"{reference} and {hypothesis}: one is a folder, the other is not",
            "evaluate takes two files or two folders",
        )
    references, hypotheses = _audio_by_name(reference), _audio_by_name(hypothesis)
    shared = [name for name in references if name in hypotheses]
    if not shared:
        raise InputError(
            f"no file in {hypothesis} has the name of one in {reference}",
            "files belong together when their names agree in everything but the extension",
        )
    return PairedFiles(
        tuple(FilePair(name, references[name], hypotheses[name]) for name in shared),
        tuple(path for name, path in references.items() if name not in hypotheses),
        tuple(path for name, path in hypotheses.items() if name not in references),
    )


def _audio_by_name(folder: Path) -> dict[str, Path]:
    """Return the audio below a folder by relative stem; a.wav and a.flac keep their extensions.

    `resynth` names its results by the same rule.
    """
    found = []
    for here, _, files in os.walk(folder, onerror=_refuse_unreadable):
        paths = (Path(here, name) for name in files)
        found += [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    if not found:
        raise InputError(
            f"{folder} has no audio files", f"looked for {' '.join(sorted(AUDIO_SUFFIXES))}"
        )
    relative = {path.relative_to(folder): path for path in sorted(found)}
    stems = Counter(name.with_suffix("") for name in relative)
    return {
        str(name.with_suffix("") if stems[name.with_suffix("")] == 1 else name): path
        for name, path in relative.items()
    }


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: {error.strerror}") from error
