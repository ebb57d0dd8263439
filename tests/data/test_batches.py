"""Test batches as a pure function of the seed and the step, with any number of workers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.mel import LOG_FLOOR
from hifigan_cli.config import MelConfig
from hifigan_cli.data import Batch, PreparedData, StepBatches, load_batches, open_prepared
from hifigan_cli.data.gpu_dataset import GpuBatches, fits_in_gpu_memory
from hifigan_cli.data.sampler import crop_start, epoch_order
from hifigan_cli.errors import InputError, UsageError
from tests.data.corpora import config, prepare, prepare_and_open, write_corpus, write_pairs
from tests.training import small


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("batches")
    return prepare_and_open(write_corpus(folder / "in", 14), folder / "out", validation=1)


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "in", folder / "mels", 5)
    return prepare_and_open(folder / "in", folder / "out", mels=folder / "mels", validation=1)


def equal(a: Batch, b: Batch) -> bool:
    if a.mels is None or b.mels is None:
        return a.mels is b.mels and torch.equal(a.samples, b.samples)
    return torch.equal(a.samples, b.samples) and torch.equal(a.mels, b.mels)


@given(st.integers(0, 2**40), st.integers(0, 1000), st.integers(1, 50), st.integers(1, 120))
def test_epoch_has_every_clip_equally_often(seed: int, epoch: int, clips: int, batch: int) -> None:
    """An epoch repeats every clip until it fills a batch."""
    order = epoch_order(seed, epoch, clips, batch)
    assert len(order) >= batch
    counts = Counter(order.tolist())
    assert set(counts) == set(range(clips))
    assert len(set(counts.values())) == 1


def test_orders_differ_by_seed_epoch_and_repetition() -> None:
    """Epochs have different orders, and so do the repetitions within an epoch."""
    orders = {tuple(epoch_order(s, e, 30, 60)) for s in (0, 1) for e in range(20)}
    assert len(orders) == 40
    assert all(order[:30] != order[30:] for order in orders)


def test_orders_are_pinned() -> None:
    """A resumed run has the same order with any version of numpy and of this tool."""
    assert epoch_order(1234, 0, 8, 1).tolist() == PINNED_ORDER
    assert [crop_start(1234, step, 0, 99) for step in range(5)] == PINNED_CROPS


PINNED_ORDER = [1, 7, 5, 2, 4, 3, 6, 0]
PINNED_CROPS = [74, 43, 70, 77, 19]


@pytest.mark.parametrize("seed", [0, 1234])
def test_crops_are_uniform_over_all_valid_starts(seed: int) -> None:
    """The first and the last start are as likely as any other."""
    counts = np.bincount([crop_start(seed, step, 3, 9) for step in range(5000)], minlength=10)
    assert len(counts) == 10
    # Chi-squared with 9 degrees of freedom is above 33 once in ten thousand.
    assert ((counts - 500) ** 2 / 500).sum() < 33
    assert crop_start(seed, 0, 0, 0) == 0


def test_epoch_uses_each_clip_at_most_once(data: PreparedData) -> None:
    """The steps of an epoch have different clips; the incomplete last batch is dropped."""
    steps = StepBatches(data, config(batch_size=4))
    assert steps.batches_per_epoch == 3
    for epoch in range(3):
        names = [clip.name for step in range(3) for clip in steps.clips(3 * epoch + step)]
        assert len(names) == len(set(names)) == 12


def test_segments_are_crops_of_their_clips(data: PreparedData) -> None:
    """A row is the normalized clip from its crop start."""
    settings = config()
    steps = StepBatches(data, settings)
    for step in (0, 7):
        batch = steps[step]
        assert batch.samples.shape == (4, 2048)
        assert batch.samples.dtype == torch.float32
        assert batch.mels is None
        for slot, clip in enumerate(steps.clips(step)):
            start = crop_start(settings.train.seed, step, slot, clip.samples - 2048)
            expected = data.samples(clip)[start : start + 2048]
            assert np.array_equal(batch.samples[slot].numpy(), expected)


def test_short_clips_are_padded_with_silence(data: PreparedData) -> None:
    """A clip shorter than the segment is padded with zeros."""
    steps = StepBatches(data, config(segment_size=16_384))
    batch = steps[0]
    for slot, clip in enumerate(steps.clips(0)):
        assert np.array_equal(batch.samples[slot, : clip.samples].numpy(), data.samples(clip))
        assert not batch.samples[slot, clip.samples :].any()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_do_not_depend_on_workers(data: PreparedData, workers: int) -> None:
    """Any number of workers gives the same batches in the same order."""
    steps = StepBatches(data, config())
    loaded = list(load_batches(steps, 2, 9, workers))
    assert len(loaded) == 7
    assert all(equal(batch, steps[step]) for step, batch in enumerate(loaded, start=2))


def test_batches_do_not_depend_on_first_step(data: PreparedData) -> None:
    """Step 5 is the same in a run that starts at step 0 and in one that starts at step 5."""
    complete = list(load_batches(StepBatches(data, config()), 0, 8, 0))
    later = list(load_batches(StepBatches(data, config()), 5, 8, 0))
    assert all(equal(a, b) for a, b in zip(complete[5:], later, strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_one_batch(data: PreparedData, world: int) -> None:
    """The concatenated shares of the processes equal the batch of a single process."""
    complete = StepBatches(data, config())
    shares = [StepBatches(data, config(), rank, world) for rank in range(world)]
    for step in (0, 5):
        parts = torch.cat([share[step].samples for share in shares])
        assert torch.equal(parts, complete[step].samples)


def test_uneven_share_is_rejected(data: PreparedData) -> None:
    """Three processes cannot divide four segments evenly."""
    with pytest.raises(UsageError, match=r"4 .* 3 processes"):
        StepBatches(data, config(), 0, 3)


def test_fewer_clips_than_batch_size(data: PreparedData) -> None:
    """A small corpus fills the batch by repeating clips, with different crops."""
    steps = StepBatches(data, config(batch_size=32))
    assert steps.batches_per_epoch == 1
    counts = Counter(clip.name for clip in steps.clips(0))
    assert set(counts.values()) == {2, 3}
    rows = {row.numpy().tobytes() for row in steps[0].samples}
    assert len(rows) == 32


@pytest.mark.parametrize(("count", "samples"), [(4, 2048), (1, 8192)])
def test_overfit_gives_the_same_segments(data: PreparedData, count: int, samples: int) -> None:
    """Overfitting uses the same N segments at every step, as in the official code."""
    steps = StepBatches(data, config(overfit=count, segment_size=samples))
    first = steps[0].samples
    assert first.shape == (count, samples)
    assert all(torch.equal(steps[step].samples, first) for step in (1, 17, 5000))
    assert len({row.numpy().tobytes() for row in first}) == count
    other = StepBatches(data, config(overfit=count, segment_size=samples, seed=1))
    assert not torch.equal(other[0].samples, first)


def test_mel_crops_match_their_samples(paired: PreparedData) -> None:
    """The samples of a crop start at its first frame times the hop length."""
    settings = config()
    steps = StepBatches(paired, settings)
    starts = set()
    for step in range(40):
        batch = steps[step]
        assert batch.mels is not None
        assert batch.mels.shape == (4, 80, 8)
        for slot, clip in enumerate(steps.clips(step)):
            frames = clip.mel_frames or 0
            start = crop_start(settings.train.seed, step, slot, frames - 8)
            starts.add(frames - 8 - start)
            mel = paired.input_mel(clip)[start : start + 8].T
            assert np.array_equal(batch.mels[slot].numpy(), mel)
            wave = paired.samples(clip)[start * 256 : (start + 8) * 256]
            assert np.array_equal(batch.samples[slot].numpy(), wave)
    assert 0 in starts  # the last possible crop


def test_short_mels_are_padded_with_log_floor(paired: PreparedData) -> None:
    """A padding of 0.0 would be loud in log units."""
    steps = StepBatches(paired, config(segment_size=32_768))
    batch = steps[0]
    assert batch.mels is not None
    for slot, clip in enumerate(steps.clips(0)):
        tail = batch.mels[slot, :, clip.mel_frames :]
        assert tail.shape[1] > 0
        assert bool((tail.numpy() == np.float32(LOG_FLOOR)).all())
        assert not batch.samples[slot, clip.samples :].any()


def test_workers_load_mels(paired: PreparedData) -> None:
    """Workers load the samples and mels of a batch."""
    steps = StepBatches(paired, config())
    for step, batch in enumerate(load_batches(steps, 0, 3, 2)):
        assert equal(batch, steps[step])


def test_data_and_configuration_must_match(data: PreparedData, paired: PreparedData) -> None:
    """Another sample rate, or mels of another configuration, would train a useless model."""
    settings = config()
    other_rate = settings.model_copy(update={"mel": MelConfig(sample_rate=24_000)})
    with pytest.raises(UsageError, match="22050 Hz"):
        StepBatches(data, other_rate)
    other_mel = settings.model_copy(update={"mel": MelConfig(fmin=20)})
    StepBatches(data, other_mel)
    with pytest.raises(UsageError, match="fmin"):
        StepBatches(paired, other_mel)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_clip_is_named(tmp_path: Path, workers: int) -> None:
    """With a truncated packed file the error names the clip and the command that fixes it."""
    data = prepare_and_open(write_corpus(tmp_path / "in", 5), tmp_path / "out", validation=1)
    last = data.training[-1]
    with (tmp_path / "out" / "samples-00000.i16").open("r+b") as file:
        file.truncate(last.offset * 2)
    with pytest.raises(InputError, match=last.name) as caught:
        list(load_batches(StepBatches(data, config()), 0, 1, workers))
    assert "hifigan preprocess" in str(caught.value.hint)


@pytest.mark.parametrize("workers", [1, 3])
def test_closing_stops_workers(data: PreparedData, workers: int) -> None:
    """No thread keeps reading after a run that stops within an epoch."""
    batches = load_batches(StepBatches(data, config()), 0, 100_000, workers)
    next(batches)
    assert _worker_threads()
    batches.close()  # type: ignore[attr-defined]  # a generator
    deadline = time.monotonic() + 10
    while _worker_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _worker_threads()


def _worker_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("batches")]


def test_prefetch_is_bounded(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a few batches wait, even if training is slow."""
    steps = []
    get = StepBatches.__getitem__

    def record_step(self: StepBatches, step: int) -> Batch:
        steps.append(step)
        return get(self, step)

    monkeypatch.setattr(StepBatches, "__getitem__", record_step)
    batches = load_batches(StepBatches(data, config()), 0, 1000, 2)
    next(batches)
    time.sleep(0.3)
    assert max(steps) <= 4
    batches.close()  # type: ignore[attr-defined]  # a generator


def test_epoch_of_paper(tmp_path: Path) -> None:
    """The 12 950 clips of the paper in batches of 16 are 809 steps."""
    write_corpus(tmp_path / "in", 2)
    prepare(tmp_path / "in", tmp_path / "out")
    data = prepare_and_open(tmp_path / "in", tmp_path / "out")
    data.training = [data.training[0]] * 12_950
    assert StepBatches(data, config(batch_size=16)).batches_per_epoch == 809


@pytest.mark.parametrize(("rank", "world", "segment"), [(0, 1, 1024), (1, 2, 1024), (0, 1, 4096)])
def test_gpu_batches_equal_mapped_batches(
    tmp_path: Path, rank: int, world: int, segment: int
) -> None:
    """The scale, the padding of short clips, shares and epochs are the same."""
    data = open_prepared(small.prepare(tmp_path / "data", seed=segment))
    assert any(clip.samples < 4096 for clip in data.training)
    share = (data, small.config(segment_size=segment), rank, world)
    mapped, gpu = StepBatches(*share), GpuBatches(*share)
    for step in (0, 1, 7, 100):
        segments, expected = gpu[step].samples, mapped[step].samples
        assert segments.dtype == torch.float32
        assert torch.equal(segments, expected)


def test_cpu_maps_files(tmp_path: Path) -> None:
    """A CPU needs no copy of the mapped files."""
    assert not fits_in_gpu_memory(
        open_prepared(small.prepare(tmp_path / "data")), torch.device("cpu")
    )
