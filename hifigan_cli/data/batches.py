"""Prepared data -> batches (paper section 3.1: batches of random segments).

`StepBatches` answers one question: what does step s train on? The answer depends on the seed and
the step alone (see `order`); several processes each take an equal share of the same batch.
`load_batches` asks it ahead of time in threads.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hifigan_cli.audio.mel import LOG_FLOOR
from hifigan_cli.data.order import crop_start, epoch_order
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.data.records import Clip

_AHEAD_PER_WORKER = 2  # batches that wait to be trained on


class Batch(NamedTuple):
    """What one step trains on.

    Shape: samples `(batch, samples)`; mels `(batch, mels, frames)`, given mels only.
    """

    samples: Tensor
    mels: Tensor | None


class StepBatches(Dataset[Batch]):
    """This process's share of the batch of any step, counted from 0.

    Raises:
        UsageError: data and configuration do not fit, or the batch cannot be shared evenly.
    """

    def __init__(self, data: PreparedData, config: Config, rank: int = 0, world: int = 1) -> None:
        _check_fit(data, config)
        train = config.train
        self.data = data
        self.hop_samples = config.mel.hop_samples
        self.segment_samples = train.segment_samples
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
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None  # of the last epoch asked for

    @property
    def batches_per_epoch(self) -> int:
        """How many whole batches the training clips fill; at least 1."""
        return max(1, len(self.data.training) // self.batch)

    def __getitem__(self, step: int) -> Batch:
        """Return the share of `step`.

        Raises:
            InputError: names a clip that cannot be read.
        """
        rows = [self._row(clip, start) for clip, start in self.cuts(step)]
        samples = torch.from_numpy(np.stack([samples for samples, _ in rows]))
        mels = [mel for _, mel in rows if mel is not None]
        return Batch(samples, torch.from_numpy(np.stack(mels)) if mels else None)

    def cuts(self, step: int) -> list[tuple[Clip, int]]:
        """Return the clips that `step` takes its share from, and the sample each is cut at."""
        step = self._effective(step)
        return [
            (clip, self._start(clip, step, slot))
            for clip, slot in zip(self.clips(step), self.slots, strict=True)
        ]

    def clips(self, step: int) -> list[Clip]:
        """Return the clips that `step` takes its share from."""
        epoch, index = divmod(self._effective(step), self.batches_per_epoch)
        known = self._order  # once: another thread may be in another epoch
        if known is None or known[0] != epoch:
            known = epoch, epoch_order(self.seed, epoch, len(self.data.training), self.batch)
            self._order = known
        order = known[1]
        return [self.data.training[order[index * self.batch + slot]] for slot in self.slots]

    def _effective(self, step: int) -> int:
        return 0 if self.overfit else step

    def _start(self, clip: Clip, step: int, slot: int) -> int:
        """Draw where a segment starts; at a frame's first sample where mels are given."""
        if clip.mel_frames is None:
            room = max(0, clip.samples - self.segment_samples)
            return crop_start(self.seed, step, slot, room)
        frames = self.segment_samples // self.hop_samples
        start = crop_start(self.seed, step, slot, max(0, clip.mel_frames - frames))
        return start * self.hop_samples

    def _row(
        self, clip: Clip, start: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Cut one segment `(samples,)`, with its mel `(mels, frames)` where mels are given."""
        if clip.mel_frames is None:
            return self._samples(clip, start), None
        frames, first = self.segment_samples // self.hop_samples, start // self.hop_samples
        mel = self.data.given_mel(clip, first, first + frames)
        # Silence is the floor of the logarithm; 0.0 would be a loud buzz.
        padding = ((0, frames - len(mel)), (0, 0))
        mel = np.pad(mel, padding, constant_values=LOG_FLOOR)
        return self._samples(clip, start), np.ascontiguousarray(mel.T)

    def _samples(self, clip: Clip, start: int) -> npt.NDArray[np.float32]:
        samples = self.data.samples(clip, start, start + self.segment_samples)
        return np.pad(samples, (0, self.segment_samples - len(samples)))


def _check_fit(data: PreparedData, config: Config) -> None:
    if data.rate_hz != config.mel.rate_hz:
        raise UsageError(
            f"{data.folder} holds {data.rate_hz} Hz, the configuration {config.mel.rate_hz} Hz",
            f"`--set rate_hz={data.rate_hz}`, or prepare the corpus at the other rate",
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

    `workers` threads read ahead; with 0 each batch is made when it is asked for. Threads do: what
    they do is copy from mapped files, for which numpy lets other threads run. Unlike processes they
    cannot be killed one by one, and signals and the GPU are no matter to them.

    Raises:
        InputError: names a clip that cannot be read.
    """
    steps = iter(range(first_step, last_step))
    if workers == 0:
        yield from map(dataset.__getitem__, steps)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        ahead = islice(steps, _AHEAD_PER_WORKER * workers)
        window = deque(pool.submit(dataset.__getitem__, step) for step in ahead)
        while window:
            yield window.popleft().result()
            window.extend(pool.submit(dataset.__getitem__, step) for step in islice(steps, 1))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
