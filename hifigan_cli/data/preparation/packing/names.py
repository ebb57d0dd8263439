"""What the files of a preparation are called, and whose they are.

A shard belongs to the part that its number leaves as a remainder: of 3 parts the second writes the
shards 1, 4, 7 ... So no two parts ever want the same name, whatever each finds in its clips.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hifigan_cli.data.records import CLIPS_FILE, MANIFEST_FILE, REJECTED_FILE
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOURNAL_FILE = "journal.jsonl"
_JOURNAL = re.compile(r"journal(?:-(\d+)-of-(\d+))?\.jsonl")
_PACKED = re.compile(r"(?:samples-(\d{5,})\.i16|mels-(\d{5,})\.f32)")
_UNSHARDED = {"samples.i16", "mels.f32"}  # of format 1
_INDEX = (MANIFEST_FILE, CLIPS_FILE, REJECTED_FILE)
_TEMPORARY = re.compile(r"\.\d+\.(.+)\.tmp")
_LOCK = re.compile(r"\.lock(?:-\d+-of-\d+)?(?:\.pid)?")


def journal_file(part: Shard) -> str:
    """Name the journal of a part."""
    return JOURNAL_FILE if part.whole else f"journal-{part.number}-of-{part.count}.jsonl"


def first_shard(part: Shard) -> int:
    """Return the number of a part's first shard; each next one is `part.count` further."""
    return part.number - 1


def journals(folder: Path) -> list[Shard]:
    """Return the parts of which there is a journal."""
    found = (_JOURNAL.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(
        (Shard(int(m[1]), int(m[2])) if m[1] else WHOLE for m in found if m),
        key=lambda part: (part.count, part.number),
    )


def packed_files(folder: Path, part: Shard) -> Iterator[tuple[int, Path]]:
    """Yield the packed files that a part may have written, with their shards' numbers."""
    for entry in sorted(folder.iterdir()):
        if match := _PACKED.fullmatch(entry.name):
            shard = int(match[1] or match[2])
            if shard % part.count == first_shard(part):
                yield shard, entry


def is_own(name: str) -> bool:
    """Tell whether a file of a prepared folder is ours, and not what somebody put there."""
    return name in _INDEX or _is_work(name) or is_temporary(name) or bool(_LOCK.fullmatch(name))


def is_temporary(name: str) -> bool:
    """Tell a temporary of the index, which stays when a run is killed while it writes."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and match[1] in _INDEX


def leftovers(folder: Path, files: set[str]) -> Iterator[Path]:
    """Yield journals and packed files that a finished folder, which has these files, needs not."""
    for entry in sorted(folder.iterdir()):
        if _is_work(entry.name) and entry.name not in files:
            yield entry


def results(folder: Path) -> Iterator[Path]:
    """Yield all files of ours but locks; the manifest comes first.

    A folder that loses its files must not look finished meanwhile.
    """
    yield folder / MANIFEST_FILE
    for entry in sorted(folder.iterdir()):
        if entry.name != MANIFEST_FILE and (entry.name in _INDEX or _is_work(entry.name)):
            yield entry


def _is_work(name: str) -> bool:
    return bool(name in _UNSHARDED or _JOURNAL.fullmatch(name) or _PACKED.fullmatch(name))
