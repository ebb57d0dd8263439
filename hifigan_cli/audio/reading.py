"""Any audio file or stream -> float32 samples.

Everything that could surprise a later stage is settled here: what is not audio, lengths that a
header only claims, samples that are not numbers, levels beyond full scale.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile

from hifigan_cli.audio.files import open_regular
from hifigan_cli.audio.formats.containers import HEADER_BYTES, recognise
from hifigan_cli.audio.formats.lengths import mended_length, missing_bytes
from hifigan_cli.audio.formats.mpeg import counted, mpeg_damage
from hifigan_cli.audio.formats.ogg import ogg_damage
from hifigan_cli.audio.formats.streams import GuardedStream
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.errors import (
    DamagedError,
    EmptyError,
    InputError,
    NotAudioError,
    NotFiniteError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
MAX_CHANNELS = 64
# A float file may exceed full scale by mistake of level; beyond this it is no audio.
MAX_PEAK = 1e4
_REPAIR_HINT = "--repair takes what is there"
_BLOCK_SAMPLES = 1 << 20
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a length that no header says
# The length of an MP3 without a Xing header is an estimate, to within one frame.
_MPEG_FRAME_SAMPLES = 1152

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Audio:
    """Sound in memory.

    Attributes:
        samples: float32 `(channels, samples)`, full scale 1.
        rate_hz: samples per second.
        subtype: soundfile's name of how the file stored it, or an empty string.
        notes: what reading had to mend, as sentences for the user.
    """

    samples: Samples
    rate_hz: int
    subtype: str = ""
    notes: tuple[str, ...] = ()

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[-1] / self.rate_hz)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    def save(self, path: Path | str) -> int:
        """Write to a file whose extension names the format; return how many samples clipped.

        Raises:
            UsageError: an extension that is not written.
            OutputError: the file system refused.
        """
        return write_audio(path, self.samples, self.rate_hz)

    def mono(self) -> Audio:
        """Return the mean of the channels, as one channel."""
        mixed = self.samples.mean(axis=0, dtype=np.float32, keepdims=True)
        return replace(self, samples=mixed)


def read_audio(source: Path | str | bytes, name: str | None = None, repair: bool = False) -> Audio:
    """Read a whole audio file, or the bytes of one.

    int16 samples are divided by 32 768. A float file whose peak is above 1 is scaled to 1. With
    `repair`, samples that are not finite become 0 and a truncated file gives what it holds; each
    with a note.

    Raises:
        InputError: not audio, damaged, empty, or with samples that are not numbers.
    """
    if isinstance(source, bytes):
        label = name or "standard input"
        if not source:
            raise EmptyError(f"{label} is empty (0 bytes)")
        return _decode(io.BytesIO(source), len(source), label, repair)
    path = Path(source)
    with open_regular(path) as stream:
        return _decode(stream, path.stat().st_size, name or str(path), repair)


def _decode(stream: IO[bytes], size: int, label: str, repair: bool) -> Audio:
    container = _container(stream, label)
    try:
        damage = _damage(stream, size, container)
    except OSError as error:
        raise InputError(f"{label}: {error.strerror or error}") from error
    if damage and not repair:
        raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    with _opened(stream, size, label) as file:
        announced = _announced(file)
        samples, rate_hz, subtype = _read_blocks(file), file.samplerate, file.subtype
    lost = 0 if announced is None else announced - samples.shape[1]
    if samples.shape[1] == 0:
        raise EmptyError(f"{label} is empty: it has a header and no samples")
    if not damage and lost > _MPEG_FRAME_SAMPLES:
        damage = f"is truncated or damaged: {lost} samples are missing"
        if not repair:
            raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    samples, found = _sound_levels(samples, label, repair)
    notes = (f"{label} {damage}", *found) if damage else tuple(found)
    return Audio(samples, rate_hz, subtype, notes)


def _container(stream: IO[bytes], label: str) -> str:
    """Name a stream's container; the stream is left at its start."""
    container = recognise(stream.read(HEADER_BYTES))
    stream.seek(0)
    if container is None:
        raise NotAudioError(
            f"{label} is not audio that hifigan reads",
            "WAV, FLAC, Ogg, Opus, MP3, AIFF, AU, CAF and W64 are",
        )
    return container


@contextmanager
def _opened(stream: IO[bytes], size: int, label: str) -> Iterator[soundfile.SoundFile]:
    """Open a stream with libsndfile; what fails in it or in its use becomes an `InputError`."""
    container = _container(stream, label)
    stream = counted(stream) if container == "MP3" else stream
    guarded = GuardedStream(stream, mended_length(stream, size))
    try:
        # The container is known: the extension, which may be wrong, plays no part.
        with soundfile.SoundFile(guarded) as file:
            _check_header(file, label)
            yield file
        guarded.check()
    except OSError as error:
        raise InputError(f"{label}: {error.strerror or error}") from error
    except soundfile.LibsndfileError as error:
        reason = guarded.error or error.error_string
        raise InputError(f"{label} cannot be decoded: {reason}") from error


def _damage(stream: IO[bytes], size: int, container: str) -> str | None:
    """Say what is wrong with a file that libsndfile would decode without a word."""
    if container == "OGG":
        return ogg_damage(stream)
    if container == "MP3":
        return mpeg_damage(stream)
    missing = missing_bytes(stream, size)
    return f"is truncated: {missing} bytes of samples are missing" if missing else None


def _check_header(file: soundfile.SoundFile, label: str) -> None:
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise InputError(
            f"{label} claims a rate of {file.samplerate} Hz",
            f"rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are read",
        )
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise InputError(
            f"{label} claims {file.channels} channels", f"1 to {MAX_CHANNELS} channels are read"
        )


def _announced(file: soundfile.SoundFile) -> int | None:
    """Return how many samples a header announces, or None of a stream that does not say."""
    if file.frames < _UNKNOWN_FRAMES:
        return int(file.frames)
    # soundfile seeks after each block, to where it is already; libsndfile refuses that in FLAC of
    # unknown length. soundfile has no public way to be told that a file cannot seek.
    file._info.seekable = 0
    return None


def _blocks(file: soundfile.SoundFile) -> Iterator[Samples]:
    """Read to the end in blocks, so that a length that the header only claims allocates nothing."""
    while len(block := file.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        yield block.T


def _read_blocks(file: soundfile.SoundFile) -> Samples:
    blocks = list(_blocks(file))
    if not blocks:
        return np.zeros((file.channels, 0), np.float32)
    return np.ascontiguousarray(np.concatenate(blocks, axis=1))


def _sound_levels(samples: Samples, label: str, repair: bool) -> tuple[Samples, list[str]]:
    notes = []
    peak = float(np.max(np.abs(samples)))  # NaN and infinity pass through max
    if not np.isfinite(peak):
        bad = ~np.isfinite(samples)
        channel, index = (int(i) for i in np.argwhere(bad)[0])
        message = f"{label} has {int(bad.sum())} samples that are not numbers"
        if not repair:
            raise NotFiniteError(
                f"{message}, the first at sample {index} of channel {channel}",
                "--repair replaces them by silence",
            )
        notes.append(f"{message}; they were replaced by silence")
        samples = np.where(bad, np.float32(0), samples)
        peak = float(np.max(np.abs(samples)))
    if peak > MAX_PEAK:
        raise NotAudioError(f"{label} has a peak of {peak:.3g} times full scale: this is not audio")
    if peak > 1:
        notes.append(f"{label} exceeds full scale {peak:.3g} times; it was scaled to fit")
        samples = samples / np.float32(peak)
    return samples, notes


def audio_length_s(path: Path) -> float:
    """Return the length in seconds that an audio file's header announces.

    Only a stream whose header does not say it is decoded, block by block.

    Raises:
        InputError: not audio that is read, or damaged.
    """
    label = str(path)
    with open_regular(path) as stream, _opened(stream, path.stat().st_size, label) as file:
        samples = _announced(file)
        if samples is None:
            samples = sum(block.shape[1] for block in _blocks(file))
        return float(samples / file.samplerate)
