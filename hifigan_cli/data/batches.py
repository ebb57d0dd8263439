"""Prepared data -> batches (paper section 3: batches of random segments).

The batch of a step depends only on the seed and the step (see `sampler`); each process loads an
equal share of it. `load_batches` prefetches in threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hifigan_cli.audio.mel import LOG_FLOOR
from hifigan_cli.data.sampler import crop_start, epoch_order
from hifigan_cli.errors import UsageError
from hifigan_cli.runtime.background import map_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.data.records import Clip
    from hifigan_cli.types import FloatArray

_PREFETCH_PER_WORKER = 2  # batches


class Batch(NamedTuple):
    """The training data of one step.

    Shape: samples `(batch, samples)`; input mels, if any, `(batch, n_mels, frames)`.
    """

    samples: Tensor
    mels: Tensor | None


class StepBatches(Dataset[Batch]):
    """This process's share of the batch of each step, counted from 0.

    Raises:
        UsageError: data and configuration do not match, or the batch cannot be divided evenly.
    """

    def __init__(
        self, data: PreparedData, config: Config, rank: int = 0, world_size: int = 1
    ) -> None:
        _check_compatible(data, config)
        train = config.train
        self.data = data
        self.hop_length = config.mel.hop_length
        self.segment_size = train.segment_size
        self.seed = train.seed
        self.overfit = bool(train.overfit)
        self.batch_size = train.overfit or train.batch_size
        if self.batch_size % world_size:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be divided evenly by {world_size} processes",
                f"set batch_size (or --overfit) to a multiple of {world_size}",
            )
        share = self.batch_size // world_size
        if share < train.micro_batches:
            raise UsageError(
                f"the {share} segments of a process cannot be split into micro_batches = "
                f"{train.micro_batches} parts",
                f"set micro_batches to at most {share}",
            )
        self.slots = range(rank * share, (rank + 1) * share)
        clips = len(data.training)
        order = partial(epoch_order, train.seed, clips=clips, min_clips=self.batch_size)
        self._order = lru_cache(maxsize=1)(order)  # only the latest epoch

    @property
    def batches_per_epoch(self) -> int:
        """The number of full batches in the training clips; at least 1."""
        return max(1, len(self.data.training) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """Return this process's share of the batch of `step`.

        Raises:
            InputError: a clip cannot be read; the message names it.
        """
        samples, mels = [], []
        for clip, start in self.crops(step):
            segment = self.data.samples(clip, start, start + self.segment_size)
            samples.append(np.pad(segment, (0, self.segment_size - len(segment))))
            if clip.mel_frames is not None:
                mels.append(self._mel(clip, start // self.hop_length))
        stacked = torch.from_numpy(np.stack(mels)) if mels else None
        return Batch(torch.from_numpy(np.stack(samples)), stacked)

    def crops(self, step: int) -> list[tuple[Clip, int]]:
        """Return the clips of this process at `step`, each with the first sample of its segment."""
        step = self._effective_step(step)
        crops = []
        for clip, slot in zip(self.clips(step), self.slots, strict=True):
            if clip.mel_frames is None:
                last = max(0, clip.samples - self.segment_size)
                start = crop_start(self.seed, step, slot, last)
            else:  # the segment starts at the first sample of a frame
                last = max(0, clip.mel_frames - self.segment_size // self.hop_length)
                start = crop_start(self.seed, step, slot, last) * self.hop_length
            crops.append((clip, start))
        return crops

    def clips(self, step: int) -> list[Clip]:
        """Return the clips of this process at `step`."""
        epoch, index = divmod(self._effective_step(step), self.batches_per_epoch)
        order = self._order(epoch)
        return [self.data.training[order[index * self.batch_size + slot]] for slot in self.slots]

    def _effective_step(self, step: int) -> int:
        return 0 if self.overfit else step

    def _mel(self, clip: Clip, first: int) -> FloatArray:
        """Return the input mel `(n_mels, frames)` of a segment that starts at frame `first`."""
        frames = self.segment_size // self.hop_length
        mel = self.data.input_mel(clip, first, first + frames)
        # Pad with the log floor, which is silence; 0.0 would be a loud buzz.
        padding = ((0, frames - len(mel)), (0, 0))
        return np.ascontiguousarray(np.pad(mel, padding, constant_values=LOG_FLOOR).T)


def _check_compatible(data: PreparedData, config: Config) -> None:
    if data.sample_rate != config.mel.sample_rate:
        raise UsageError(
            f"{data.folder} has a sample rate of {data.sample_rate} Hz, "
            f"but the configuration has {config.mel.sample_rate} Hz",
            f"use `--set sample_rate={data.sample_rate}`, or run `hifigan preprocess` again",
        )
    if data.mel_config is not None and data.mel_config != config.mel:
        stored = data.mel_config.model_dump()
        differing = [key for key, value in stored.items() if getattr(config.mel, key) != value]
        raise UsageError(
            f"the mels in {data.folder} have another mel configuration: "
            f"{', '.join(differing)} differ",
            "train with the values that its prepared.json lists under mel",
        )


def load_batches(
    dataset: StepBatches, first_step: int, last_step: int, workers: int
) -> Iterator[Batch]:
    """Yield the batches of steps `first_step` up to, not including, `last_step`, in order.

    `workers` threads prefetch; with 0 each batch is read on demand. Threads are enough, because
    copying from mapped files releases the GIL.

    Raises:
        InputError: a clip cannot be read; the message names it.
    """
    steps = range(first_step, last_step)
    if workers == 0:
        yield from map(dataset.__getitem__, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        yield from map_ahead(pool, dataset.__getitem__, steps, _PREFETCH_PER_WORKER * workers)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
