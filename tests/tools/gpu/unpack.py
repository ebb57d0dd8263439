"""Decode a pack once, so that all processes map the same recordings into memory."""

from __future__ import annotations

import io
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from hifigan_cli.enhancement.augmentation.sounds import bandwidth_hz, spectral_gate
from tests.tools.gpu.pack import INDEX_FILE, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Decoded = tuple[npt.NDArray[Any], int, float]  # waveform, sample rate, highest frequency

SOUND_RATE = 22_050  # of noises and RIRs
_WIDEST = 24_000  # of speech; narrow speech keeps its sample rate
_SHORTEST = 2_048  # samples of speech that the gate accepts
_FULL_SCALE = 32_767.0


@dataclass(frozen=True)
class Recording:
    """A decoded recording: its place in its array, and what it is.

    Attributes:
        top_hz: the highest frequency that it holds.
    """

    speaker: str
    start: int
    samples: int
    sample_rate: int
    top_hz: float
    validation: bool


class Corpus(NamedTuple):
    """The arrays of a pack, mapped into memory.

    Attributes:
        speech: `(2, samples)`, full scale 32 767: as recorded, and with the background gated.
        sounds: `(samples,)` float32, noises and RIRs.
        recordings: of `speech`, `noises` and `rirs`.
    """

    speech: npt.NDArray[np.int16]
    sounds: npt.NDArray[np.float32]
    recordings: dict[str, list[Recording]]

    def sounds_of(self, part: str, *, validation: bool) -> list[npt.NDArray[np.float32]]:
        """Return the noises or RIRs for training, or those held out; all where there are none."""
        entries = self.recordings[part]
        chosen = [entry for entry in entries if entry.validation == validation] or entries
        return [self.sounds[entry.start : entry.start + entry.samples] for entry in chosen]


def open_corpus(folder: Path) -> Corpus:
    """Map what `unpack` has written."""
    recordings = {
        part: [Recording(**entry) for entry in entries]
        for part, entries in json.loads((folder / "recordings.json").read_text()).items()
    }
    speech = np.load(folder / "speech.npy", mmap_mode="r")
    return Corpus(speech, np.load(folder / "sounds.npy", mmap_mode="r"), recordings)


def unpack(packed: Path, folder: Path, processes: int) -> None:
    """Decode a pack into arrays in `folder`."""
    index = json.loads((packed / INDEX_FILE).read_text())
    found: dict[str, list[Recording]] = {}
    arrays: dict[str, list[npt.NDArray[Any]]] = {"speech": [], "sounds": []}
    lengths = dict.fromkeys(arrays, 0)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for part in ("speech", "noises", "rirs"):
            entries = [Entry(**entry) for entry in index[part]]
            decode: Callable[[bytes], Decoded] = _speech if part == "speech" else _sound
            array = "speech" if part == "speech" else "sounds"
            found[part] = []
            contents = _contents(packed / f"{part}.bin", entries)
            decoded = pool.map(decode, contents, chunksize=16)
            for entry, (wave, sample_rate, top_hz) in zip(entries, decoded, strict=True):
                place = (lengths[array], wave.shape[-1], sample_rate, top_hz, entry.validation)
                found[part].append(Recording(entry.speaker, *place))
                arrays[array].append(wave)
                lengths[array] += wave.shape[-1]
    for name, waves in arrays.items():
        np.save(folder / f"{name}.npy", np.concatenate(waves, axis=-1))
    listed = {part: [asdict(entry) for entry in entries] for part, entries in found.items()}
    (folder / "recordings.json").write_text(json.dumps(listed))


def _contents(path: Path, entries: list[Entry]) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for entry in entries:
            stream.seek(entry.start)
            yield stream.read(entry.bytes)


def _mono(content: bytes) -> tuple[npt.NDArray[np.float32], int]:
    wave, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return wave.mean(axis=1), sample_rate


def _speech(content: bytes) -> Decoded:
    wave, sample_rate = _mono(content)
    if sample_rate > _WIDEST:
        wave = soxr.resample(wave, sample_rate, _WIDEST, quality="HQ")
        sample_rate = _WIDEST
    wide = np.pad(wave, (0, max(0, _SHORTEST - len(wave)))).astype(np.float64)
    both = np.stack([wide, spectral_gate(wide)])[:, : len(wave)] * _FULL_SCALE
    whole = np.clip(np.round(both), -_FULL_SCALE, _FULL_SCALE).astype(np.int16)
    return whole, sample_rate, bandwidth_hz(wide, sample_rate)


def _sound(content: bytes) -> Decoded:
    wave, sample_rate = _mono(content)
    sound = soxr.resample(wave, sample_rate, SOUND_RATE, quality="HQ").astype(np.float32)
    return sound, SOUND_RATE, SOUND_RATE / 2
