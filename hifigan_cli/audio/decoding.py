"""The bytes of an audio file or stream -> blocks of samples, as they are stored.

What is not audio, is damaged, or only claims a length in its header is found here; what is wrong
with the samples themselves is found in `recording`.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import soundfile

from hifigan_cli.audio.formats.containers import HEADER_BYTES, recognise
from hifigan_cli.audio.formats.damage import completed_header, find_damage
from hifigan_cli.audio.formats.mpeg import counted
from hifigan_cli.audio.formats.streams import GuardedStream, signals_held
from hifigan_cli.errors import EmptyError, InputError, NotAudioError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hifigan_cli.types import FloatArray

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 64
_BLOCK_SAMPLES = 1 << 20  # of all channels together: 4 MB
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's word for a length that no header says


@dataclass(frozen=True)
class Encoded:
    """An audio file, or the bytes of one, that can be decoded as often as wanted."""

    source: Path | bytes
    label: str

    def damage(self) -> str | None:
        """Say what is wrong with a file that libsndfile would decode without complaint.

        Raises:
            InputError: not audio that is read, or empty.
        """
        with self._stream() as (stream, container):
            return find_damage(stream, container)

    @contextmanager
    def opened(self) -> Iterator[Decoder]:
        """Open it for decoding from its beginning.

        Raises:
            InputError: not audio that is read, empty, or damaged so that it cannot be decoded.
        """
        with self._stream() as (stream, container):
            stream = counted(stream) if container == "MP3" else stream
            guarded = GuardedStream(stream, completed_header(stream))
            try:
                # The container is known: the extension, which may be wrong, plays no part.
                with signals_held():
                    file = soundfile.SoundFile(guarded)
                try:
                    yield Decoder(file, self.label)
                finally:
                    with signals_held():
                        file.close()
                guarded.check()
            except soundfile.LibsndfileError as error:
                reason = guarded.error or error.error_string
                raise InputError(f"{self.label} cannot be decoded: {reason}") from error

    @contextmanager
    def _stream(self) -> Iterator[tuple[IO[bytes], str]]:
        """Open the bytes; name their container."""
        if self.source == b"":
            raise EmptyError(f"{self.label} is empty (0 bytes)")
        stream: IO[bytes]
        if isinstance(self.source, bytes):
            stream = io.BytesIO(self.source)
        else:
            stream = open_regular(self.source)
        with stream:
            try:
                container = recognise(stream.read(HEADER_BYTES))
                stream.seek(0)
                if container is None:
                    raise NotAudioError(
                        f"{self.label} is not audio that hifigan reads",
                        "WAV, FLAC, Ogg, Opus, MP3, AIFF, AU, CAF and W64 are",
                    )
                yield stream, container
            except OSError as error:
                raise InputError(f"{self.label}: {error.strerror or error}") from error


class Decoder:
    """An open file: what its header says, and its samples.

    Attributes:
        sample_rate, channels: as the header says.
        subtype: soundfile's name of how the samples are stored.
        announced: the samples a channel that the header announces; None where it does not say.
    """

    def __init__(self, file: soundfile.SoundFile, label: str) -> None:
        self._file = file
        self.sample_rate, self.channels = int(file.samplerate), int(file.channels)
        self.subtype = str(file.subtype)
        self.announced = int(file.frames) if file.frames < _UNKNOWN_FRAMES else None
        if not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE:
            raise InputError(
                f"{label} claims a rate of {self.sample_rate} Hz",
                f"rates from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are read",
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InputError(
                f"{label} claims {self.channels} channels", f"1 to {MAX_CHANNELS} channels are read"
            )
        if self.announced is None:
            # soundfile seeks after each block, to where it is already; libsndfile refuses that in
            # FLAC of unknown length. soundfile has no public way to be told that it cannot seek.
            file._info.seekable = 0

    def blocks(self) -> Iterator[FloatArray]:
        """Read `(channels, samples)` to the end; a length only claimed allocates nothing."""
        size = _BLOCK_SAMPLES // self.channels
        while True:
            with signals_held():
                block: FloatArray = self._file.read(size, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block.T
