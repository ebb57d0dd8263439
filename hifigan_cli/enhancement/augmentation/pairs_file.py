"""Render all pairs of a run once, into files of log-mels.

Rendering a pair costs more than a training step, so each pair is used several times. The files lie
in the run's folder. Their names contain the digest of everything that they depend on, so a resumed
run reuses them, and another recipe gets new ones.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from hifigan_cli.audio.mel import MelSpectrogram
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.enhancement.augmentation.pair_renderer import PairRenderer
from hifigan_cli.enhancement.augmentation.sounds import SpeechSampler, fingerprint, load_sounds
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import atomic_replace, is_file
from hifigan_cli.runtime.process_pool import map_in_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.config import MelConfig
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.enhancement.config import EnhancerRunConfig
    from hifigan_cli.types import HalfArray

_PAIRS_PER_TASK = 32
_VALIDATION_SEED = 7


@dataclass(frozen=True)
class PairSources:
    """The inputs from which the pairs of a run are rendered.

    They are folders, so that every process opens its own files.
    """

    speech: Path  # a prepared folder
    noises: Path
    rirs: Path
    mel: MelConfig
    run: EnhancerRunConfig

    def open_speech(self) -> PreparedData:
        """Open the prepared speech.

        Raises:
            InputError: the folder is not a prepared folder, or it is damaged.
            UsageError: the sample rate differs from that of the mel.
        """
        speech = open_prepared(self.speech)
        if speech.sample_rate != self.mel.sample_rate:
            raise UsageError(
                f"{self.speech} has a sample rate of {speech.sample_rate} Hz, but the enhancer's "
                f"mel needs {self.mel.sample_rate} Hz",
                f"prepare it at {self.mel.sample_rate} Hz: `hifigan preprocess CORPUS -o OTHER`",
            )
        return speech

    def digest(self) -> str:
        """Return a hexadecimal digest of everything that the pairs depend on.

        Raises:
            InputError, UsageError: as for `open_speech`, or a sound cannot be read.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:  # cached, because it reads every sound
        training = self.run.training
        parts = {
            "speech": self.open_speech().digest,
            "noises": fingerprint(self.noises),
            "rirs": fingerprint(self.rirs),
            "mel": self.mel.model_dump(mode="json"),
            "augmentation": self.run.augmentation.model_dump(mode="json"),
            "seed": training.seed,
            "pairs": training.pairs,
            "frames": training.pair_frames,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def renderer(self, *, validation: bool) -> PairRenderer:
        """Load the sounds and return a renderer; validation uses the held-out sounds."""
        speech = self.open_speech()
        return PairRenderer(
            SpeechSampler(speech, validation=validation, upper_edge_hz=self.mel.upper_edge_hz),
            load_sounds(self.noises, speech.sample_rate, validation=validation),
            load_sounds(self.rirs, speech.sample_rate, validation=validation),
            self.run.augmentation,
            self.run.training.seed + (_VALIDATION_SEED if validation else 0),
        )


def open_pairs(
    sources: PairSources, folder: Path, workers: int, progress: Callable[[int, int], None]
) -> tuple[HalfArray, HalfArray]:
    """Return the pairs for training and for validation; render those that are missing.

    Both arrays are memory-mapped and have the shape `(pairs, 2, frames, n_mels)`, noisy first.

    Raises:
        InputError: a sound cannot be read.
        UsageError: the sample rate of the speech differs from that of the mel.
        OutputError: a file cannot be written.
    """
    digest, training = sources.digest()[:16], sources.run.training
    counts = {"training": training.pairs, "validation": training.validation_pairs}
    files = []
    for split, count in counts.items():
        path = folder / f"{split}-{digest}.npy"
        if not is_file(path):
            _render_file(sources, path, split == "validation", count, workers, progress)
        files.append(np.load(path, mmap_mode="r"))
    return files[0], files[1]


def _render_file(
    sources: PairSources,
    path: Path,
    validation: bool,
    count: int,
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    shape = (count, 2, sources.run.training.pair_frames, sources.mel.n_mels)
    starts = range(0, count, _PAIRS_PER_TASK)
    stops = (min(start + _PAIRS_PER_TASK, count) for start in starts)
    tasks = [(sources, validation, range(*numbers)) for numbers in zip(starts, stops, strict=True)]
    try:
        with atomic_replace(path) as temporary, temporary.open("wb") as stream:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            blocks = map_in_order(_render, tasks, workers, _crashed)
            for (*_, numbers), block in zip(tasks, blocks, strict=True):
                stream.write(block.tobytes())
                progress(numbers.stop, count)
    finally:
        _renderer.cache_clear()  # free the memory of the sounds for training


@torch.no_grad()
def _render(task: tuple[PairSources, bool, range]) -> HalfArray:
    """Render pairs as log-mels, in this process or in a worker."""
    sources, validation, numbers = task
    renderer = _renderer(sources, validation)
    samples = sources.run.training.pair_frames * sources.mel.hop_length
    waves = np.stack([renderer.pair(number, samples) for number in numbers])
    mels = MelSpectrogram(sources.mel)(torch.from_numpy(waves.reshape(-1, samples)).float())
    pairs: HalfArray = mels.unflatten(0, (-1, 2)).transpose(2, 3).numpy().astype("<f2")
    return pairs


@lru_cache(maxsize=1)
def _renderer(sources: PairSources, validation: bool) -> PairRenderer:
    """Build the renderer of this process when it is first needed."""
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # because the processes share the cores
    return sources.renderer(validation=validation)


def _crashed(task: tuple[PairSources, bool, range]) -> NoReturn:
    numbers = task[-1]
    raise InputError(
        f"the process that rendered pairs {numbers.start} to {numbers.stop - 1} crashed twice",
        "the memory may be too small: lower --workers",
    )
