"""Prepared data -> batches (paper section 3.1: batches of random segments).

The batch of a step depends only on the seed and the step (see `sampler`); several processes each
take an equal share of it. `load_batches` reads ahead in threads.
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

_AHEAD_PER_WORKER = 2  # batches that wait to be used


class Batch(NamedTuple):
    """The training data of one step.

    Shape: samples `(batch, samples)`; given mels, if any, `(batch, n_mels, frames)`.
    """

    samples: Tensor
    mels: Tensor | None


class StepBatches(Dataset[Batch]):
    """This process's share of the batch of each step, counted from 0.

    Raises:
        UsageError: data and configuration do not fit, or the batch cannot be shared evenly.
    """

    def __init__(self, data: PreparedData, config: Config, rank: int = 0, world: int = 1) -> None:
        _check_fit(data, config)
        train = config.train
        self.data = data
        self.hop_length = config.mel.hop_length
        self.segment_size = train.segment_size
        self.seed = train.seed
        self.overfit = bool(train.overfit)
        self.batch = train.overfit or train.batch_size
        if self.batch % world:
            raise UsageError(
                f"a batch of {self.batch} cannot be shared evenly by {world} processes",
                f"set batch_size (or --overfit) to a multiple of {world}",
            )
        share = self.batch // world
        if share < train.accumulate:
            raise UsageError(
                f"a process's share of {share} segments cannot be cut in {train.accumulate} pieces",
                f"set accumulate to at most {share}",
            )
        self.slots = range(rank * share, (rank + 1) * share)
        order = partial(epoch_order, train.seed, clips=len(data.training), at_least=self.batch)
        self._order = lru_cache(maxsize=1)(order)  # of the last epoch asked for

    @property
    def batches_per_epoch(self) -> int:
        """How many complete batches the training clips fill; at least 1."""
        return max(1, len(self.data.training) // self.batch)

    def __getitem__(self, step: int) -> Batch:
        """Return the share of `step`.

        Raises:
            InputError: names a clip that cannot be read.
        """
        samples, mels = [], []
        for clip, start in self.cuts(step):
            segment = self.data.samples(clip, start, start + self.segment_size)
            samples.append(np.pad(segment, (0, self.segment_size - len(segment))))
            if clip.mel_frames is not None:
                mels.append(self._mel(clip, start // self.hop_length))
        stacked = torch.from_numpy(np.stack(mels)) if mels else None
        return Batch(torch.from_numpy(np.stack(samples)), stacked)

    def cuts(self, step: int) -> list[tuple[Clip, int]]:
        """Return the clips that `step` takes its share from, and the sample each is cut at."""
        step = self._effective(step)
        cuts = []
        for clip, slot in zip(self.clips(step), self.slots, strict=True):
            if clip.mel_frames is None:
                last = max(0, clip.samples - self.segment_size)
                start = crop_start(self.seed, step, slot, last)
            else:  # at a frame's first sample
                last = max(0, clip.mel_frames - self.segment_size // self.hop_length)
                start = crop_start(self.seed, step, slot, last) * self.hop_length
            cuts.append((clip, start))
        return cuts

    def clips(self, step: int) -> list[Clip]:
        """Return the clips that `step` takes its share from."""
        epoch, index = divmod(self._effective(step), self.batches_per_epoch)
        order = self._order(epoch)
        return [self.data.training[order[index * self.batch + slot]] for slot in self.slots]

    def _effective(self, step: int) -> int:
        return 0 if self.overfit else step

    def _mel(self, clip: Clip, first: int) -> FloatArray:
        """Return a segment's given mel `(n_mels, frames)`, from frame `first` on."""
        frames = self.segment_size // self.hop_length
        mel = self.data.given_mel(clip, first, first + frames)
        # Silence is the floor of the logarithm; 0.0 would be a loud buzz.
        padding = ((0, frames - len(mel)), (0, 0))
        return np.ascontiguousarray(np.pad(mel, padding, constant_values=LOG_FLOOR).T)


def _check_fit(data: PreparedData, config: Config) -> None:
    if data.sample_rate != config.mel.sample_rate:
        raise UsageError(
            f"{data.folder} has a sample rate of {data.sample_rate} Hz, "
            f"the configuration {config.mel.sample_rate} Hz",
            f"use `--set sample_rate={data.sample_rate}`, or run `hifigan preprocess` again",
        )
    if data.mel is not None and data.mel != config.mel:
        differing = [k for k, v in data.mel.model_dump().items() if getattr(config.mel, k) != v]
        raise UsageError(
            f"{data.folder} holds mels of another convention: {', '.join(differing)} differ",
            "train with the values that its prepared.json lists under mel",
        )


def load_batches(
    dataset: StepBatches, first_step: int, last_step: int, workers: int
) -> Iterator[Batch]:
    """Yield the batches of steps `first_step` up to, not including, `last_step`, in order.

    `workers` threads read ahead; with 0 each batch is read when it is asked for. Threads are
    enough, because copying from mapped files lets other threads run.

    Raises:
        InputError: names a clip that cannot be read.
    """
    steps = range(first_step, last_step)
    if workers == 0:
        yield from map(dataset.__getitem__, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        yield from map_ahead(pool, dataset.__getitem__, steps, _AHEAD_PER_WORKER * workers)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
