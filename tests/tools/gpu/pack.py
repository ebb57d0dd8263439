"""Pack a small copy of the corpus that travels to another machine.

    python -m tests.tools.gpu.pack OUT --data DATA [--megabytes 34] [--sets SET ...]

OUT gets `speech.bin`, `noises.bin` and `rirs.bin`, each complete audio files one after the other,
and `index.json`, which lists them. Narrow recordings are copied as they are; wide ones, and noises,
are coded again as Opus at 24 kHz. Some speakers, noises and RIRs are marked as held out for
validation. The same corpus gives the same pack.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from hifigan_cli.enhancement.augmentation.sounds import held_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SAMPLE_RATE = 24_000
SPEECH_BITRATE, NOISE_BITRATE = 28_000, 24_000
NOISE_S = 10.0
_COPY_BELOW = 36_000  # bit/s of files that are copied as they are
_LONGEST_S = 20.0
# Shares of the seconds. Many speakers matter more than many minutes of one.
_SHARES = {
    "speechocean": 40,
    "intent": 20,
    "wakeword": 5,
    "emodb": 8,
    "kathleen": 8,
    "kerstin": 8,
    "nathalie": 8,
    "flemishguy": 8,
    "festvox-ru": 8,
}
_BY_CLIP = ("intent", "wakeword")  # hundreds of speakers without a name: each clip is one
INDEX_FILE = "index.json"


@dataclass(frozen=True)
class Source:
    """A recording of the corpus."""

    path: Path
    set: str
    speaker: str
    seconds: float
    bytes: int

    @property
    def copied(self) -> bool:
        """Whether it travels as it is."""
        return self.bytes * 8 <= _COPY_BELOW * self.seconds

    @property
    def packed_bytes(self) -> float:
        """The size it will have, or a little more."""
        return self.bytes if self.copied else 700 + 1.1 * self.seconds * SPEECH_BITRATE / 8


@dataclass(frozen=True)
class Entry:
    """One audio file of a pack: its place in its .bin file, and what it is."""

    name: str
    set: str
    speaker: str
    start: int
    bytes: int
    seconds: float
    validation: bool


def pack(
    out: Path,
    data: Path,
    megabytes: float = 34,
    processes: int = 2,
    sets: Iterable[str] = tuple(_SHARES),
) -> None:
    """Write a pack of `data` into `out`, at most `megabytes` MiB; `sets` are of speech."""
    out.mkdir(parents=True, exist_ok=True)
    budget = megabytes * 2**20 - 2**19  # the index is the rest
    with ProcessPoolExecutor(processes) as pool:
        index = {}
        noises = _sources(sorted((data / "noise").iterdir()), "noise")
        index["noises"] = _write(out / "noises.bin", noises, pool.map(_noise, noises, chunksize=8))
        rirs = _sources(sorted((data / "rir").iterdir()), "rir")
        index["rirs"] = _write(out / "rirs.bin", rirs, (s.path.read_bytes() for s in rirs))
        budget -= sum(entry.bytes for part in index.values() for entry in part)
        found = _speech(data)
        speech = _chosen({name: found[name] for name in sets}, budget)
        index["speech"] = _write(out / "speech.bin", speech, pool.map(_clip, speech, chunksize=8))
    entries = {part: [asdict(entry) for entry in found] for part, found in index.items()}
    (out / INDEX_FILE).write_text(json.dumps(entries, separators=(",", ":")))
    size = sum(path.stat().st_size for path in out.iterdir())
    if size > megabytes * 2**20:
        raise ValueError(f"{out} has {size / 2**20:.1f} MiB, more than {megabytes}")


def _sources(files: Iterable[Path], name: str) -> list[Source]:
    return [_source(path, name, path.name) for path in files]


def _source(path: Path, name: str, speaker: str) -> Source:
    found = soundfile.info(path)
    return Source(path, name, speaker, found.frames / found.samplerate, path.stat().st_size)


def _speech(data: Path) -> dict[str, list[Source]]:
    """Return each set's clips in the order in which they are taken: a speaker after the other."""
    speakers: dict[str, dict[str, list[Source]]] = {name: defaultdict(list) for name in _SHARES}
    for name, speaker, path in _listed(data):
        source = _source(path, name, speaker)
        if 0.4 < source.seconds < _LONGEST_S:
            speakers[name][speaker].append(source)
    return {name: list(_in_turn(found)) for name, found in speakers.items()}


def _listed(data: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield set, speaker and path of the manifest's training clips, adults only."""
    with (data / "manifest.tsv").open(encoding="utf-8") as stream:
        rows = [
            row for row in csv.DictReader(stream, delimiter="\t") if row["file"][:6] == "train/"
        ]
    number = re.compile(r"(\d{4})(-[mf])?$")  # one speaker has several spellings
    numbers = [number.search(row["speaker"]) for row in rows]
    adults = {found[1] for found in numbers if found is not None and found[2]}
    for row in rows:
        name, path, speaker = row["file"].split("/")[1], data / row["file"], row["speaker"]
        if name == "speechocean":
            found = number.search(speaker)
            if found is None or found[1] not in adults:
                continue
            speaker = f"speechocean{found[1]}"
        yield name, path.name if name in _BY_CLIP else speaker, path


def _in_turn(speakers: dict[str, list[Source]]) -> Iterator[Source]:
    """Yield a clip of each speaker, then another of each, in an order without meaning."""
    queues = [sorted(found, key=_shuffled) for _, found in sorted(speakers.items())]
    queues.sort(key=lambda found: _shuffled(found[0]))
    for turn in range(max(map(len, queues), default=0)):
        yield from (found[turn] for found in queues if turn < len(found))


def _shuffled(source: Source) -> bytes:
    return hashlib.sha256(source.path.name.encode()).digest()


def _chosen(sets: dict[str, list[Source]], budget: float) -> list[Source]:
    """Take clips from all sets in proportion to their shares until the budget is spent."""
    taken = dict.fromkeys(sets, 0.0)
    left = {name: iter(found) for name, found in sets.items()}
    chosen: list[Source] = []
    while left:
        name = min(left, key=lambda name: taken[name] / _SHARES[name])
        source = next(left[name], None)
        if source is None:
            del left[name]
            continue
        if (budget := budget - source.packed_bytes) < 0:
            break
        taken[name] += source.seconds
        chosen.append(source)
    return sorted(chosen, key=lambda source: (source.set, source.speaker, source.path.name))


def _write(path: Path, sources: list[Source], contents: Iterable[bytes]) -> list[Entry]:
    entries, start = [], 0
    with path.open("wb") as stream:
        for source, content in zip(sources, contents, strict=True):
            stream.write(content)
            # Sets of one speaker have none to spare, so that some of the clips are held out.
            kept = source.speaker if source.speaker[-1].isdigit() else source.path.name
            seconds = min(source.seconds, NOISE_S) if source.set == "noise" else source.seconds
            entries.append(
                Entry(
                    source.path.stem,
                    source.set,
                    source.speaker,
                    start,
                    len(content),
                    round(seconds, 3),
                    held_out(kept),
                )
            )
            start += len(content)
    return entries


def _clip(source: Source) -> bytes:
    return source.path.read_bytes() if source.copied else _coded(source, None, SPEECH_BITRATE)


def _noise(source: Source) -> bytes:
    """Return a noise's first seconds, coded again unless it is short and small."""
    if source.seconds <= NOISE_S and source.bytes * 8 <= NOISE_BITRATE * source.seconds:
        return source.path.read_bytes()
    return _coded(source, NOISE_S, NOISE_BITRATE)


def _coded(source: Source, seconds: float | None, bitrate: int) -> bytes:
    """Return a recording as mono Opus; libsndfile's compression level stands for the bit rate."""
    with soundfile.SoundFile(source.path) as file:
        frames = -1 if seconds is None else int(seconds * file.samplerate)
        wave = file.read(frames, dtype="float32", always_2d=True).mean(axis=1)
        wave = soxr.resample(wave, file.samplerate, SAMPLE_RATE, quality="HQ")
    content = io.BytesIO()
    level = 1 - (bitrate - 6_000) / 250_000
    soundfile.write(
        content,
        np.clip(wave, -1, 1),
        SAMPLE_RATE,
        format="OGG",
        subtype="OPUS",
        compression_level=level,
    )
    return content.getvalue()


def main() -> None:
    """Pack, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=34)
    parser.add_argument("--sets", nargs="+", choices=_SHARES, default=list(_SHARES))
    options = parser.parse_args()
    pack(options.out, options.data, options.megabytes, sets=options.sets)
    index = json.loads((options.out / INDEX_FILE).read_text())
    for part, entries in index.items():
        for name in sorted({entry["set"] for entry in entries}):
            found = [entry for entry in entries if entry["set"] == name]
            minutes = sum(entry["seconds"] for entry in found) / 60
            size = sum(entry["bytes"] for entry in found) / 2**20
            speakers = len({entry["speaker"] for entry in found})
            kept = sum(entry["validation"] for entry in found)
            print(
                f"{part} {name}: {len(found)} files, {speakers} speakers, {minutes:.1f} min, "
                f"{size:.1f} MiB, {kept} held out"
            )


if __name__ == "__main__":
    main()
