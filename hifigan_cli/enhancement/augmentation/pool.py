"""All pairs of a run, rendered once and kept in one file of log-mels.

Rendering a pair costs more than a step needs for it, so each is used several times. The file lies
beside the run; its name carries the digest of all that it depends on, so that a resumed run takes
it as it is, and another recipe makes another.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from hifigan_cli.audio.mel import MelSpectrogram
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.enhancement.augmentation.pairs import PairRenderer
from hifigan_cli.enhancement.augmentation.sounds import fingerprint, load_sounds
from hifigan_cli.enhancement.augmentation.speech import SpeechSampler
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import is_file, replacing
from hifigan_cli.runtime.process_pool import map_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from hifigan_cli.config import MelConfig
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.enhancement.config import EnhancerRun

    Mels = npt.NDArray[np.float16]

_BATCH = 32  # pairs a task
_VALIDATION_SEED = 7


@dataclass(frozen=True)
class Sources:
    """Where the pairs of a run come from: folders, so that every process opens its own."""

    speech: Path  # prepared
    noises: Path
    rooms: Path
    mel: MelConfig
    run: EnhancerRun

    def open_speech(self) -> PreparedData:
        """Open the prepared speech.

        Raises:
            InputError: it is no prepared folder, or damaged.
            UsageError: it is of another rate than the mel.
        """
        speech = open_prepared(self.speech)
        if speech.rate_hz != self.mel.rate_hz:
            raise UsageError(
                f"{self.speech} holds {speech.rate_hz} Hz, the enhancer's mel is of "
                f"{self.mel.rate_hz} Hz",
                f"`hifigan preprocess CORPUS -o OTHER` prepares it at {self.mel.rate_hz} Hz",
            )
        return speech

    def digest(self) -> str:
        """Return what the pairs depend on, as a hexadecimal digest.

        Raises:
            InputError, UsageError: as `open_speech` does; a sound cannot be read.
        """
        training = self.run.training
        parts = {
            "speech": self.open_speech().digest,
            "noises": fingerprint(self.noises),
            "rooms": fingerprint(self.rooms),
            "mel": self.mel.model_dump(mode="json"),
            "damage": self.run.damage.model_dump(mode="json"),
            "seed": training.seed,
            "pairs": training.pairs,
            "frames": training.pair_frames,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def workshop(self, *, validation: bool) -> PairRenderer:
        """Read all sounds; validation takes those that training does not."""
        speech = self.open_speech()
        return PairRenderer(
            SpeechSampler(speech, validation=validation, top_hz=self.mel.top_hz),
            load_sounds(self.noises, speech.rate_hz, validation=validation),
            load_sounds(self.rooms, speech.rate_hz, validation=validation),
            self.run.damage,
            self.run.training.seed + (_VALIDATION_SEED if validation else 0),
        )


def open_pool(
    sources: Sources,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None],
) -> tuple[Mels, Mels]:
    """Return the pairs for training and for validation, rendering what is not there.

    Shape of each: `(pairs, 2, frames, mels)`, noisy first, mapped into memory.

    Raises:
        InputError: sounds cannot be read.
        UsageError: the speech is of another rate than the mel.
        OutputError: the file system refused.
    """
    digest = sources.digest()[:16]
    pools = []
    training = sources.run.training
    for validation, count in ((False, training.pairs), (True, training.validation_pairs)):
        path = folder / f"{'validation' if validation else 'training'}-{digest}.npy"
        if not is_file(path):
            _render(sources, path, count, workers, progress, validation=validation)
        pools.append(np.load(path, mmap_mode="r"))
    return pools[0], pools[1]


def _render(
    sources: Sources,
    path: Path,
    count: int,
    workers: int,
    progress: Callable[[int, int], None],
    *,
    validation: bool,
) -> None:
    frames, mels = sources.run.training.pair_frames, sources.mel.n_mels
    with replacing(path) as temporary:
        temporary.touch()
        with temporary.open("wb") as stream:
            header = {
                "descr": "<f2",
                "fortran_order": False,
                "shape": (count, 2, frames, mels),
            }
            np.lib.format.write_array_header_1_0(stream, header)
            tasks = [range(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH)]
            blocks = _blocks(sources, tasks, workers, validation=validation)
            for done, block in enumerate(blocks, 1):
                stream.write(block.tobytes())
                progress(min(done * _BATCH, count), count)


def _blocks(
    sources: Sources, tasks: Sequence[range], workers: int, *, validation: bool
) -> Iterator[Mels]:
    """Yield the pairs of each task in turn, rendered here or by other processes.

    Raises:
        InputError: a sound cannot be read, or the processes die.
    """
    try:
        yield from map_in_order(_Render(sources, validation), tasks, workers, _died)
    finally:
        _bench.cache_clear()  # the sounds; what trains next needs the memory


@dataclass(frozen=True)
class _Render:
    """Renders the pairs of a task, in whichever process it finds itself."""

    sources: Sources
    validation: bool

    def __call__(self, numbers: range) -> Mels:
        return _bench(self.sources, self.validation).render(numbers)


def _died(numbers: range) -> NoReturn:
    raise InputError(
        f"the process that rendered pairs {numbers.start} to {numbers.stop - 1} died twice",
        "memory is short, perhaps: lower --workers",
    )


class _Bench:
    """One process's means of rendering."""

    def __init__(self, sources: Sources, *, validation: bool) -> None:
        self._workshop = sources.workshop(validation=validation)
        self._mel = MelSpectrogram(sources.mel)
        self._samples = sources.run.training.pair_frames * sources.mel.hop_samples

    @torch.no_grad()
    def render(self, numbers: range) -> Mels:
        """Render pairs as log-mels `(pairs, 2, frames, mels)`."""
        waves = np.stack([self._workshop.pair(number, self._samples) for number in numbers])
        logs = self._mel(torch.from_numpy(waves.reshape(-1, self._samples).astype(np.float32)))
        block: Mels = logs.unflatten(0, (-1, 2)).transpose(2, 3).numpy().astype("<f2")
        return block


@lru_cache(maxsize=1)
def _bench(sources: Sources, validation: bool) -> _Bench:
    """Make this process's bench, when its first pairs are asked for."""
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # the processes share the cores
    return _Bench(sources, validation=validation)
