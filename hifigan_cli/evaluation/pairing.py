"""Which file belongs to which: two files, or two folders whose files share their relative stems."""

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
class Match:
    """A recording and what was made of it, under one name."""

    name: str
    reference: Path
    hypothesis: Path


@dataclass(frozen=True)
class Matching:
    """Two folders side by side: what belongs together, and what has no partner."""

    matches: tuple[Match, ...]
    lonely_references: tuple[Path, ...] = ()
    lonely_hypotheses: tuple[Path, ...] = ()


def match_files(reference: Path, hypothesis: Path) -> Matching:
    """Pair the recordings of two files or two folders; extensions may differ.

    Raises:
        UsageError: a file against a folder.
        InputError: a folder without audio, or two folders that share no name.
    """
    folders = is_folder(reference), is_folder(hypothesis)
    if folders == (False, False):
        return Matching((Match(reference.stem, reference, hypothesis),))
    if folders != (True, True):
        raise UsageError(
            f"{reference} and {hypothesis}: one is a folder, the other is not",
            "evaluate takes two files or two folders",
        )
    references, hypotheses = _named(reference), _named(hypothesis)
    shared = [name for name in references if name in hypotheses]
    if not shared:
        raise InputError(
            f"no file in {hypothesis} has the name of one in {reference}",
            "files belong together when they agree in everything but the extension",
        )
    return Matching(
        tuple(Match(name, references[name], hypotheses[name]) for name in shared),
        tuple(path for name, path in references.items() if name not in hypotheses),
        tuple(path for name, path in hypotheses.items() if name not in references),
    )


def _named(folder: Path) -> dict[str, Path]:
    """Name the audio below a folder by relative stems; a.wav beside a.flac keep their extensions.

    So `resynth` names its results too.
    """
    files = _audio_below(folder)
    relative = [path.relative_to(folder) for path in files]
    sharing = Counter(path.with_suffix("") for path in relative)
    names = [
        str(path.with_suffix("") if sharing[path.with_suffix("")] == 1 else path)
        for path in relative
    ]
    return dict(zip(names, files, strict=True))


def _audio_below(folder: Path) -> list[Path]:
    found = []
    for here, _, files in os.walk(folder, onerror=_unreadable):
        paths = (Path(here, name) for name in files)
        found += [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    if not found:
        raise InputError(
            f"{folder} has no audio files", f"looked for {' '.join(sorted(AUDIO_SUFFIXES))}"
        )
    return sorted(found)


def _unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: {error.strerror}") from error
