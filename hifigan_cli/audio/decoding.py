"""Decode the bytes of an audio file or stream into blocks of samples, as they are stored.

This module detects input that is not audio or is damaged, and lengths that only the header states.
`recording` checks the samples themselves.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import soundfile

from hifigan_cli.audio.formats.containers import HEADER_BYTES, identify_container
from hifigan_cli.audio.formats.damage import find_damage, w64_header_with_length
from hifigan_cli.audio.formats.mpeg import with_frame_count
from hifigan_cli.audio.formats.streams import GuardedStream, defer_signals
from hifigan_cli.errors import EmptyError, InputError, NotAudioError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hifigan_cli.types import FloatArray

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 384_000
MAX_CHANNELS = 64
_BLOCK_SAMPLES = 1 << 20  # over all channels: 4 MB
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's value where the header states no length


@dataclass(frozen=True)
class EncodedAudio:
    """An audio file, or the bytes of one, that can be decoded repeatedly."""

    source: Path | bytes
    label: str

    def find_damage(self) -> str | None:
        """Describe damage that libsndfile does not report, or return None.

        Raises:
            InputError: the input is not in a supported audio format, or is empty.
        """
        with self._stream() as (stream, container):
            return find_damage(stream, container)

    @contextmanager
    def open(self) -> Iterator[Decoder]:
        """Open a decoder at the beginning.

        Raises:
            InputError: the input is not in a supported audio format, is empty, or cannot be
                decoded.
        """
        with self._stream() as (stream, container):
            stream = with_frame_count(stream) if container == "MP3" else stream
            guarded = GuardedStream(stream, w64_header_with_length(stream))
            try:
                # The stream has no name, so soundfile cannot use the extension, which may be wrong.
                with defer_signals():
                    file = soundfile.SoundFile(guarded)
                try:
                    yield Decoder(file, self.label)
                finally:
                    with defer_signals():
                        file.close()
                guarded.check()
            except soundfile.LibsndfileError as error:
                reason = guarded.error or error.error_string
                raise InputError(f"{self.label} cannot be decoded: {reason}") from error

    @contextmanager
    def _stream(self) -> Iterator[tuple[IO[bytes], str]]:
        """Open the bytes and identify their container."""
        if self.source == b"":
            raise EmptyError(f"{self.label} is empty (0 bytes)")
        stream: IO[bytes]
        if isinstance(self.source, bytes):
            stream = io.BytesIO(self.source)
        else:
            stream = open_regular(self.source)
        with stream:
            try:
                container = identify_container(stream.read(HEADER_BYTES))
                stream.seek(0)
                if container is None:
                    raise NotAudioError(
                        f"{self.label} is not audio in a supported format",
                        "convert it to WAV, FLAC, Ogg, Opus, MP3, AIFF, AU, CAF or W64",
                    )
                yield stream, container
            except OSError as error:
                raise InputError(f"{self.label}: {error.strerror or error}") from error


class Decoder:
    """An open audio file: the facts in its header, and its samples.

    Attributes:
        sample_rate, channels: from the header.
        subtype: the sample format by soundfile's name.
        header_length: samples per channel according to the header, or None if it states none.
    """

    def __init__(self, file: soundfile.SoundFile, label: str) -> None:
        self._file = file
        self.sample_rate, self.channels = int(file.samplerate), int(file.channels)
        self.subtype = str(file.subtype)
        self.header_length = int(file.frames) if file.frames < _UNKNOWN_FRAMES else None
        if not MIN_SAMPLE_RATE <= self.sample_rate <= MAX_SAMPLE_RATE:
            raise InputError(
                f"the header of {label} states a sample rate of {self.sample_rate} Hz",
                f"use a sample rate from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz",
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InputError(
                f"the header of {label} states {self.channels} channels",
                f"use 1 to {MAX_CHANNELS} channels",
            )
        if self.header_length is None:
            # soundfile seeks after each block, to its current position. libsndfile fails to do that
            # in FLAC of unknown length, and soundfile has no public option against seeking.
            file._info.seekable = 0

    def blocks(self) -> Iterator[FloatArray]:
        """Read blocks `(channels, samples)` to the end; the header's length allocates nothing."""
        size = _BLOCK_SAMPLES // self.channels
        while True:
            with defer_signals():
                block: FloatArray = self._file.read(size, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block.T
