"""Pack a small copy of the corpus for another machine.

    python -m tests.tools.gpu.pack OUT --data DATA [--megabytes 34] [--sets SET ...]

OUT gets `speech.bin`, `noises.bin` and `rirs.bin`, each a sequence of complete audio files, and
`index.json`, which lists them. Files with a low bit rate are copied unchanged; other recordings and
noises are encoded as Opus at 24 kHz. Some speakers, noises and RIRs are marked as
held out for validation. The same corpus gives the same pack.
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

from hifigan_cli.enhancement.augmentation.sounds import is_held_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SAMPLE_RATE = 24_000
SPEECH_BITRATE, NOISE_BITRATE = 28_000, 24_000
MAX_NOISE_S = 10.0
_MAX_COPY_BITRATE = 36_000  # bit/s; files above it are encoded again
_MAX_CLIP_S = 20.0
# Shares of the total time. Many speakers matter more than many minutes of one.
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
_BY_CLIP = ("intent", "wakeword")  # hundreds of unnamed speakers: each clip counts as one
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
    def is_copied(self) -> bool:
        """Whether the file is copied unchanged."""
        return self.bytes * 8 <= _MAX_COPY_BITRATE * self.seconds

    @property
    def packed_bytes(self) -> float:
        """An upper estimate of the size in the pack."""
        return self.bytes if self.is_copied else 700 + 1.1 * self.seconds * SPEECH_BITRATE / 8


@dataclass(frozen=True)
class Entry:
    """One audio file of a pack, and its position in the .bin file."""

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
    """Write a pack of `data` into `out`, at most `megabytes` MiB, with these `sets` of speech."""
    out.mkdir(parents=True, exist_ok=True)
    budget = megabytes * 2**20 - 2**19  # the rest is for the index
    with ProcessPoolExecutor(processes) as pool:
        index = {}
        noises = _sources(sorted((data / "noise").iterdir()), "noise")
        index["noises"] = _write_files(
            out / "noises.bin", noises, pool.map(_encode_noise, noises, chunksize=8)
        )
        rirs = _sources(sorted((data / "rir").iterdir()), "rir")
        index["rirs"] = _write_files(out / "rirs.bin", rirs, (s.path.read_bytes() for s in rirs))
        budget -= sum(entry.bytes for part in index.values() for entry in part)
        clips = _speech(data)
        speech = _select({name: clips[name] for name in sets}, budget)
        index["speech"] = _write_files(
            out / "speech.bin", speech, pool.map(_encode_speech, speech, chunksize=8)
        )
    entries = {part: [asdict(entry) for entry in files] for part, files in index.items()}
    (out / INDEX_FILE).write_text(json.dumps(entries, separators=(",", ":")))
    size = sum(path.stat().st_size for path in out.iterdir())
    if size > megabytes * 2**20:
        raise ValueError(
            f"{out} has {size / 2**20:.1f} MiB, more than the limit of {megabytes} MiB"
        )


def _sources(files: Iterable[Path], name: str) -> list[Source]:
    return [_source(path, name, path.name) for path in files]


def _source(path: Path, name: str, speaker: str) -> Source:
    info = soundfile.info(path)
    return Source(path, name, speaker, info.frames / info.samplerate, path.stat().st_size)


def _speech(data: Path) -> dict[str, list[Source]]:
    """Return the clips of each set in the order of their selection, alternating the speakers."""
    speakers: dict[str, dict[str, list[Source]]] = {name: defaultdict(list) for name in _SHARES}
    for name, speaker, path in _training_clips(data):
        source = _source(path, name, speaker)
        if 0.4 < source.seconds < _MAX_CLIP_S:
            speakers[name][speaker].append(source)
    return {name: list(_round_robin(by_speaker)) for name, by_speaker in speakers.items()}


def _training_clips(data: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield set, speaker and path of the manifest's training clips; only adults of speechocean."""
    with (data / "manifest.tsv").open(encoding="utf-8") as stream:
        rows = [
            row for row in csv.DictReader(stream, delimiter="\t") if row["file"][:6] == "train/"
        ]
    number = re.compile(r"(\d{4})(-[mf])?$")  # the same speaker has several spellings
    matches = [number.search(row["speaker"]) for row in rows]
    adults = {match[1] for match in matches if match is not None and match[2]}
    for row in rows:
        name, path, speaker = row["file"].split("/")[1], data / row["file"], row["speaker"]
        if name == "speechocean":
            match = number.search(speaker)
            if match is None or match[1] not in adults:
                continue
            speaker = f"speechocean{match[1]}"
        yield name, path.name if name in _BY_CLIP else speaker, path


def _round_robin(speakers: dict[str, list[Source]]) -> Iterator[Source]:
    """Yield one clip per speaker, then another one per speaker, in a pseudorandom order."""
    queues = [sorted(clips, key=_shuffle_key) for _, clips in sorted(speakers.items())]
    queues.sort(key=lambda clips: _shuffle_key(clips[0]))
    for turn in range(max(map(len, queues), default=0)):
        yield from (clips[turn] for clips in queues if turn < len(clips))


def _shuffle_key(source: Source) -> bytes:
    return hashlib.sha256(source.path.name.encode()).digest()


def _select(sets: dict[str, list[Source]], budget: float) -> list[Source]:
    """Select clips from all sets in proportion to their shares, up to the budget in bytes."""
    seconds = dict.fromkeys(sets, 0.0)
    remaining = {name: iter(clips) for name, clips in sets.items()}
    selected: list[Source] = []
    while remaining:
        name = min(remaining, key=lambda name: seconds[name] / _SHARES[name])
        source = next(remaining[name], None)
        if source is None:
            del remaining[name]
            continue
        if (budget := budget - source.packed_bytes) < 0:
            break
        seconds[name] += source.seconds
        selected.append(source)
    return sorted(selected, key=lambda source: (source.set, source.speaker, source.path.name))


def _write_files(path: Path, sources: list[Source], contents: Iterable[bytes]) -> list[Entry]:
    entries, start = [], 0
    with path.open("wb") as stream:
        for source, content in zip(sources, contents, strict=True):
            stream.write(content)
            # Sets with only one speaker have some of the clips held out instead of speakers.
            name = source.speaker if source.speaker[-1].isdigit() else source.path.name
            seconds = min(source.seconds, MAX_NOISE_S) if source.set == "noise" else source.seconds
            entries.append(
                Entry(
                    source.path.stem,
                    source.set,
                    source.speaker,
                    start,
                    len(content),
                    round(seconds, 3),
                    is_held_out(name),
                )
            )
            start += len(content)
    return entries


def _encode_speech(source: Source) -> bytes:
    if source.is_copied:
        return source.path.read_bytes()
    return _encode_opus(source, None, SPEECH_BITRATE)


def _encode_noise(source: Source) -> bytes:
    """Return the first seconds of a noise, encoded again unless it is short and small."""
    if source.seconds <= MAX_NOISE_S and source.bytes * 8 <= NOISE_BITRATE * source.seconds:
        return source.path.read_bytes()
    return _encode_opus(source, MAX_NOISE_S, NOISE_BITRATE)


def _encode_opus(source: Source, seconds: float | None, bitrate: int) -> bytes:
    """Return a recording as mono Opus; libsndfile's compression level sets the bit rate."""
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
    """Pack the corpus and print its contents."""
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
            files = [entry for entry in entries if entry["set"] == name]
            minutes = sum(entry["seconds"] for entry in files) / 60
            size = sum(entry["bytes"] for entry in files) / 2**20
            speakers = len({entry["speaker"] for entry in files})
            held_out_files = sum(entry["validation"] for entry in files)
            print(
                f"{part} {name}: {len(files)} files, {speakers} speakers, {minutes:.1f} min, "
                f"{size:.1f} MiB, {held_out_files} held out"
            )


if __name__ == "__main__":
    main()
