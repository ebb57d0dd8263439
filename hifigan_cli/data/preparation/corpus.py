"""A folder of recordings -> the list of its clips, in sorted order.

Two layouts are known: LJSpeech's, in which `metadata.csv` names the files of `wavs/`, and any other
folder, which is searched to its last subfolder. A walk ends even where links run in circles, hidden
files are passed over, and what `preprocess` itself writes is never taken for part of a corpus.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.data.records import Reason, Rejection
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import is_file, is_folder, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METADATA_FILE = "metadata.csv"
WAVS_FOLDER = "wavs"
_LJSPEECH_ID = re.compile(r"LJ\d{3}-\d{4}")


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file of the corpus.

    Attributes:
        path: within the corpus, with forward slashes.
        stem: that path without the extension, in LJSpeech's layout also without `wavs/`. It
            decides the split and finds the given mel.
        name: the stem, or the path where files of several formats share a stem.
    """

    path: str
    stem: str
    name: str


@dataclass(frozen=True)
class Corpus:
    """A folder of recordings.

    Attributes:
        folder: where it is.
        files: its audio files, sorted by path.
        absent: what the corpus lists and does not have, and folders that cannot be read.
        official: whether it is LJSpeech, or a part of it, which has an official split.
    """

    folder: Path
    files: tuple[CorpusFile, ...]
    absent: tuple[Rejection, ...]
    official: bool

    @property
    def listing(self) -> str:
        """Digest of the list of files."""
        paths = [file.path.encode("utf-8", "surrogateescape") + b"\0" for file in self.files]
        return hashlib.sha256(b"".join(paths)).hexdigest()


def find_corpus(folder: Path, out: Path) -> Corpus:
    """List the clips of a folder; the folder `out`, if it lies inside, is passed over.

    Raises:
        InputError: there is no such folder, or no audio in it.
        UsageError: `out` is that folder itself.
    """
    if not is_folder(folder):
        raise _no_folder(folder)
    if is_folder(out) and out.samefile(folder):
        raise UsageError(f"{folder} is both corpus and output", "choose another folder with -o")
    listed = is_file(folder / METADATA_FILE) and is_folder(folder / WAVS_FOLDER)
    corpus = _listed(folder) if listed else _walked(folder, out)
    if not corpus.files:
        raise _no_audio(corpus, listed)
    return corpus


def _listed(folder: Path) -> Corpus:
    """Take the files that `metadata.csv` names and that are there."""
    present: dict[str, list[str]] = {}
    for path in _audio_below(folder / WAVS_FOLDER, None, []):
        present.setdefault(_stem(path), []).append(path)
    paths, absent = [], []
    for stem in sorted(_ids(folder / METADATA_FILE)):
        if stem in present:
            # If there are several, the uncompressed one: the corpus consists of those.
            best = min(present[stem], key=lambda path: (not path.lower().endswith(".wav"), path))
            paths.append(best)
        else:
            path = f"{WAVS_FOLDER}/{stem}"
            detail = f"{path} is listed in {METADATA_FILE} and not there"
            absent.append(Rejection(path, Reason.MISSING, detail))
    files = tuple(CorpusFile(f"{WAVS_FOLDER}/{path}", _stem(path), _stem(path)) for path in paths)
    return Corpus(folder, files, tuple(absent), _all_official(files))


def _ids(path: Path) -> set[str]:
    """Read the first column of `metadata.csv`; some corpora write the extension into it."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    ids = {line.partition("|")[0].strip() for line in text.splitlines()}
    return {
        _stem(name) if Path(name).suffix.lower() in AUDIO_SUFFIXES else name for name in ids
    } - {""}


def _walked(folder: Path, out: Path) -> Corpus:
    """Take every audio file below the folder."""
    absent: list[Rejection] = []
    paths = sorted(_audio_below(folder, out, absent))
    shared = Counter(_stem(path) for path in paths)
    files = tuple(
        CorpusFile(path, _stem(path), path if shared[_stem(path)] > 1 else _stem(path))
        for path in paths
    )
    absent.sort(key=lambda rejection: rejection.path)
    return Corpus(folder, files, tuple(absent), _all_official(files))


def _audio_below(folder: Path, out: Path | None, absent: list[Rejection]) -> Iterator[str]:
    """Yield the paths of audio files, relative, with forward slashes; note unreadable folders."""

    def note(error: OSError) -> None:
        path = Path(os.fspath(error.filename)).relative_to(folder).as_posix()
        absent.append(Rejection(path, Reason.UNREADABLE, f"{path}: {error.strerror}"))

    seen = {_identity(out)} if out is not None and is_folder(out) else set()
    for root, folders, files in os.walk(folder, onerror=note, followlinks=True):
        here = Path(root)
        try:
            identity = _identity(here)
        except OSError as error:  # gone since it was listed
            note(error)
            folders.clear()
            continue
        if identity in seen:  # a link that leads back, or the output
            folders.clear()
            continue
        seen.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield (here / name).relative_to(folder).as_posix()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _stem(path: str) -> str:
    return str(Path(path).with_suffix("").as_posix())


def _all_official(files: Iterable[CorpusFile]) -> bool:
    return all(_LJSPEECH_ID.fullmatch(file.stem.rpartition("/")[2]) for file in files)


def _no_folder(folder: Path) -> InputError:
    if os.path.lexists(folder):
        return InputError(f"{folder} is not a folder", "give the folder that holds the recordings")
    return InputError(f"there is no folder {folder}", nearest(folder, folders=True))


def _no_audio(corpus: Corpus, listed: bool) -> InputError:
    if listed:
        return InputError(
            f"none of the {len(corpus.absent)} files that {corpus.folder / METADATA_FILE} lists "
            f"is in {WAVS_FOLDER}/",
            f"a line is ID|text; `hifigan preprocess {corpus.folder / WAVS_FOLDER}` takes all",
        )
    return InputError(
        f"there is no audio in {corpus.folder}",
        f"files that end in {' '.join(sorted(AUDIO_SUFFIXES))} are taken",
    )
