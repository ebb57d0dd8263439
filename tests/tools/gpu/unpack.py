"""Decode a pack into arrays that all processes map into memory."""

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

Decoded = tuple[npt.NDArray[Any], int, float]  # waveform, sample rate, bandwidth in Hz

SOUND_RATE = 22_050  # of noises and RIRs
_MAX_SPEECH_RATE = 24_000  # of speech; narrow speech keeps its sample rate
_MIN_GATE_SAMPLES = 2_048  # minimum length for the spectral gate
_FULL_SCALE = 32_767.0


@dataclass(frozen=True)
class UnpackedRecording:
    """A decoded recording, and its position in its array.

    Attributes:
        top_hz: highest frequency with content.
    """

    speaker: str
    start: int
    samples: int
    sample_rate: int
    top_hz: float
    validation: bool


class UnpackedCorpus(NamedTuple):
    """The arrays of a pack, mapped into memory.

    Attributes:
        speech: `(2, samples)`, full scale 32 767: recorded, and with the background gated.
        sounds: `(samples,)` float32, noises and RIRs.
        recordings: lists for `speech`, `noises` and `rirs`.
    """

    speech: npt.NDArray[np.int16]
    sounds: npt.NDArray[np.float32]
    recordings: dict[str, list[UnpackedRecording]]

    def select_sounds(self, part: str, *, validation: bool) -> list[npt.NDArray[np.float32]]:
        """Return the noises or RIRs for training or validation; all of them if there are none."""
        entries = self.recordings[part]
        selected = [entry for entry in entries if entry.validation == validation] or entries
        return [self.sounds[entry.start : entry.start + entry.samples] for entry in selected]


def open_corpus(folder: Path) -> UnpackedCorpus:
    """Map the arrays written by `unpack` into memory."""
    recordings = {
        part: [UnpackedRecording(**entry) for entry in entries]
        for part, entries in json.loads((folder / "recordings.json").read_text()).items()
    }
    speech = np.load(folder / "speech.npy", mmap_mode="r")
    return UnpackedCorpus(speech, np.load(folder / "sounds.npy", mmap_mode="r"), recordings)


def unpack(packed: Path, folder: Path, processes: int) -> None:
    """Decode a pack into arrays in `folder`."""
    index = json.loads((packed / INDEX_FILE).read_text())
    recordings: dict[str, list[UnpackedRecording]] = {}
    arrays: dict[str, list[npt.NDArray[Any]]] = {"speech": [], "sounds": []}
    lengths = dict.fromkeys(arrays, 0)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for part in ("speech", "noises", "rirs"):
            entries = [Entry(**entry) for entry in index[part]]
            decode: Callable[[bytes], Decoded] = (
                _decode_speech if part == "speech" else _decode_sound
            )
            array = "speech" if part == "speech" else "sounds"
            recordings[part] = []
            contents = _contents(packed / f"{part}.bin", entries)
            decoded = pool.map(decode, contents, chunksize=16)
            for entry, (wave, sample_rate, top_hz) in zip(entries, decoded, strict=True):
                position = (lengths[array], wave.shape[-1], sample_rate, top_hz, entry.validation)
                recordings[part].append(UnpackedRecording(entry.speaker, *position))
                arrays[array].append(wave)
                lengths[array] += wave.shape[-1]
    for name, waves in arrays.items():
        np.save(folder / f"{name}.npy", np.concatenate(waves, axis=-1))
    lists = {part: [asdict(entry) for entry in entries] for part, entries in recordings.items()}
    (folder / "recordings.json").write_text(json.dumps(lists))


def _contents(path: Path, entries: list[Entry]) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for entry in entries:
            stream.seek(entry.start)
            yield stream.read(entry.bytes)


def _mono(content: bytes) -> tuple[npt.NDArray[np.float32], int]:
    wave, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return wave.mean(axis=1), sample_rate


def _decode_speech(content: bytes) -> Decoded:
    wave, sample_rate = _mono(content)
    if sample_rate > _MAX_SPEECH_RATE:
        wave = soxr.resample(wave, sample_rate, _MAX_SPEECH_RATE, quality="HQ")
        sample_rate = _MAX_SPEECH_RATE
    wide = np.pad(wave, (0, max(0, _MIN_GATE_SAMPLES - len(wave)))).astype(np.float64)
    versions = np.stack([wide, spectral_gate(wide)])[:, : len(wave)] * _FULL_SCALE
    quantized = np.clip(np.round(versions), -_FULL_SCALE, _FULL_SCALE).astype(np.int16)
    return quantized, sample_rate, bandwidth_hz(wide, sample_rate)


def _decode_sound(content: bytes) -> Decoded:
    wave, sample_rate = _mono(content)
    sound = soxr.resample(wave, sample_rate, SOUND_RATE, quality="HQ").astype(np.float32)
    return sound, SOUND_RATE, SOUND_RATE / 2
