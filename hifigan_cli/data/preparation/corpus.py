"""List the clips of a folder of recordings, in sorted order.

There are two layouts: that of LJSpeech, in which `metadata.csv` names the files of `wavs/`, and any
other folder, which is searched recursively. The search follows links, also if they form cycles,
skips hidden files, and never includes the output folder of `preprocess`.
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
from hifigan_cli.data.records import Rejection, RejectionReason
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import is_file, is_folder, similar_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

METADATA_FILE = "metadata.csv"
WAVS_FOLDER = "wavs"
_LJSPEECH_ID = re.compile(r"LJ\d{3}-\d{4}")


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file of the corpus.

    Attributes:
        path: its path in the corpus, with forward slashes.
        stem: that path without the extension and, in the layout of LJSpeech, without `wavs/`. It
            determines the split and the name of the input mel.
        name: the stem, or the path if files of several formats share a stem.
    """

    path: str
    stem: str
    name: str


@dataclass(frozen=True)
class Corpus:
    """A folder of recordings.

    Attributes:
        folder: its path.
        files: its audio files, sorted by path.
        missing: listed files that do not exist, and folders that cannot be read.
        is_ljspeech: whether it is LJSpeech or a part of it, which has an official split.
    """

    folder: Path
    files: tuple[CorpusFile, ...]
    missing: tuple[Rejection, ...]
    is_ljspeech: bool

    @property
    def paths_sha256(self) -> str:
        """The digest of the paths of all files."""
        paths = [file.path.encode("utf-8", "surrogateescape") + b"\0" for file in self.files]
        return hashlib.sha256(b"".join(paths)).hexdigest()


def find_corpus(folder: Path, out: Path) -> Corpus:
    """List the clips of a folder, without those in a subfolder `out`.

    Raises:
        InputError: the folder is missing or has no audio.
        UsageError: `out` is the folder itself.
    """
    if not is_folder(folder):
        raise _no_folder_error(folder)
    if is_folder(out) and out.samefile(folder):
        raise UsageError(f"{folder} is both corpus and output", "choose another folder with -o")
    has_metadata = is_file(folder / METADATA_FILE) and is_folder(folder / WAVS_FOLDER)
    corpus = _from_metadata(folder) if has_metadata else _from_search(folder, out)
    if not corpus.files:
        raise _no_audio_error(corpus, has_metadata)
    return corpus


def _from_metadata(folder: Path) -> Corpus:
    """List the existing files that `metadata.csv` names."""
    present: dict[str, list[str]] = {}
    for path in _find_audio(folder / WAVS_FOLDER, None, []):
        present.setdefault(_stem(path), []).append(path)
    paths, missing = [], []
    for stem in sorted(_ids(folder / METADATA_FILE)):
        if stem in present:
            # Prefer the uncompressed file, because the corpus consists of these.
            best = min(present[stem], key=lambda path: (not path.lower().endswith(".wav"), path))
            paths.append(best)
        else:
            path = f"{WAVS_FOLDER}/{stem}"
            detail = f"{path} is listed in {METADATA_FILE} but does not exist"
            missing.append(Rejection(path, RejectionReason.MISSING, detail))
    files = tuple(CorpusFile(f"{WAVS_FOLDER}/{path}", _stem(path), _stem(path)) for path in paths)
    return Corpus(folder, files, tuple(missing), _is_ljspeech(files))


def _ids(path: Path) -> set[str]:
    """Read the first column of `metadata.csv`; remove an extension, which some corpora add."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    ids = {line.partition("|")[0].strip() for line in text.splitlines()}
    return {
        _stem(name) if Path(name).suffix.lower() in AUDIO_SUFFIXES else name for name in ids
    } - {""}


def _from_search(folder: Path, out: Path) -> Corpus:
    """List all audio files in the folder and its subfolders."""
    missing: list[Rejection] = []
    paths = sorted(_find_audio(folder, out, missing))
    counts = Counter(_stem(path) for path in paths)
    files = tuple(
        CorpusFile(path, _stem(path), path if counts[_stem(path)] > 1 else _stem(path))
        for path in paths
    )
    missing.sort(key=lambda rejection: rejection.path)
    return Corpus(folder, files, tuple(missing), _is_ljspeech(files))


def _find_audio(folder: Path, out: Path | None, missing: list[Rejection]) -> Iterator[str]:
    """Yield the relative paths of audio files; append unreadable folders to `missing`."""

    def add_unreadable(error: OSError) -> None:
        path = Path(os.fspath(error.filename)).relative_to(folder).as_posix()
        missing.append(Rejection(path, RejectionReason.UNREADABLE, f"{path}: {error.strerror}"))

    visited = {_identity(out)} if out is not None and is_folder(out) else set()
    for root, folders, files in os.walk(folder, onerror=add_unreadable, followlinks=True):
        current = Path(root)
        try:
            identity = _identity(current)
        except OSError as error:  # removed since it was listed
            add_unreadable(error)
            folders.clear()
            continue
        if identity in visited:  # a link to a parent, or the output folder
            folders.clear()
            continue
        visited.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield (current / name).relative_to(folder).as_posix()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _stem(path: str) -> str:
    return str(Path(path).with_suffix("").as_posix())


def _is_ljspeech(files: Iterable[CorpusFile]) -> bool:
    return all(_LJSPEECH_ID.fullmatch(file.stem.rpartition("/")[2]) for file in files)


def _no_folder_error(folder: Path) -> InputError:
    if os.path.lexists(folder):
        return InputError(f"{folder} is not a folder", "use the folder with the recordings")
    return InputError(f"there is no folder {folder}", similar_path(folder, folders=True))


def _no_audio_error(corpus: Corpus, has_metadata: bool) -> InputError:
    if has_metadata:
        return InputError(
            f"{WAVS_FOLDER}/ has none of the {len(corpus.missing)} files that "
            f"{corpus.folder / METADATA_FILE} lists",
            "each line must be ID|text; to use all recordings, run "
            f"`hifigan preprocess {corpus.folder / WAVS_FOLDER}`",
        )
    return InputError(
        f"there is no audio in {corpus.folder}",
        f"the supported extensions are {' '.join(sorted(AUDIO_SUFFIXES))}",
    )
