"""Batches: a pure function of the seed and the step, whoever asks and however often."""

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
from hifigan_cli.data.gpu_dataset import GpuBatches, fits
from hifigan_cli.data.sampler import crop_start, epoch_order
from hifigan_cli.errors import InputError, UsageError
from tests.data.corpora import config, corpus, pairs, prepare, prepared
from tests.training import small


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("batches")
    return prepared(corpus(folder / "in", 14), folder / "out", validation=1)


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("pairs")
    pairs(folder / "in", folder / "mels", 5)
    return prepared(folder / "in", folder / "out", mels=folder / "mels", validation=1)


def equal(a: Batch, b: Batch) -> bool:
    if a.mels is None or b.mels is None:
        return a.mels is b.mels and torch.equal(a.samples, b.samples)
    return torch.equal(a.samples, b.samples) and torch.equal(a.mels, b.mels)


@given(st.integers(0, 2**40), st.integers(0, 1000), st.integers(1, 50), st.integers(1, 120))
def test_an_epoch_names_every_clip_equally_often(
    seed: int, epoch: int, clips: int, batch: int
) -> None:
    """Every clip once a round, and rounds enough to fill a batch."""
    order = epoch_order(seed, epoch, clips, batch)
    assert len(order) >= batch
    counts = Counter(order.tolist())
    assert set(counts) == set(range(clips))
    assert len(set(counts.values())) == 1


def test_orders_differ_by_seed_epoch_and_round() -> None:
    """No epoch repeats another, and a filled batch does not repeat its order."""
    orders = {tuple(epoch_order(s, e, 30, 60)) for s in (0, 1) for e in range(20)}
    assert len(orders) == 40
    assert all(order[:30] != order[30:] for order in orders)


def test_orders_are_pinned() -> None:
    """A resumed run must see the same order with any version of numpy and of this tool."""
    assert epoch_order(1234, 0, 8, 1).tolist() == PINNED_ORDER
    assert [crop_start(1234, step, 0, 99) for step in range(5)] == PINNED_CROPS


PINNED_ORDER = [1, 7, 5, 2, 4, 3, 6, 0]
PINNED_CROPS = [74, 43, 70, 77, 19]


@pytest.mark.parametrize("seed", [0, 1234])
def test_crops_are_uniform_over_all_valid_starts(seed: int) -> None:
    """The first and the last start come as often as any other (facts: over all valid starts)."""
    counts = np.bincount([crop_start(seed, step, 3, 9) for step in range(5000)], minlength=10)
    assert len(counts) == 10
    # Chi-squared with 9 degrees of freedom is above 33 once in ten thousand.
    assert ((counts - 500) ** 2 / 500).sum() < 33
    assert crop_start(seed, 0, 0, 0) == 0


def test_an_epoch_of_steps_takes_each_clip_at_most_once(data: PreparedData) -> None:
    """The steps of one epoch share it out; the incomplete batch at its end is left out."""
    steps = StepBatches(data, config(batch_size=4))
    assert steps.batches_per_epoch == 3
    for epoch in range(3):
        names = [clip.name for step in range(3) for clip in steps.clips(3 * epoch + step)]
        assert len(names) == len(set(names)) == 12


def test_segments_are_pieces_of_their_clips(data: PreparedData) -> None:
    """A row is the normalised clip from the drawn start, nothing else."""
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
    """A clip shorter than the segment is followed by zeros (facts: zero-padded)."""
    steps = StepBatches(data, config(segment_size=16_384))
    batch = steps[0]
    for slot, clip in enumerate(steps.clips(0)):
        assert np.array_equal(batch.samples[slot, : clip.samples].numpy(), data.samples(clip))
        assert not batch.samples[slot, clip.samples :].any()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_do_not_matter(data: PreparedData, workers: int) -> None:
    """The same batches in the same order, with any number of workers."""
    steps = StepBatches(data, config())
    loaded = list(load_batches(steps, 2, 9, workers))
    assert len(loaded) == 7
    assert all(equal(batch, steps[step]) for step, batch in enumerate(loaded, start=2))


def test_a_restart_does_not_matter(data: PreparedData) -> None:
    """Step 5 is the same whether one counted up to it or began there."""
    whole = list(load_batches(StepBatches(data, config()), 0, 8, 0))
    later = list(load_batches(StepBatches(data, config()), 5, 8, 0))
    assert all(equal(a, b) for a, b in zip(whole[5:], later, strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_one_batch(data: PreparedData, world: int) -> None:
    """Their shares, one after another, are the batch of a single process."""
    whole = StepBatches(data, config())
    shares = [StepBatches(data, config(), rank, world) for rank in range(world)]
    for step in (0, 5):
        parts = torch.cat([share[step].samples for share in shares])
        assert torch.equal(parts, whole[step].samples)


def test_an_uneven_share_is_refused(data: PreparedData) -> None:
    """Three processes cannot share four segments."""
    with pytest.raises(UsageError, match="batch of 4 cannot be shared"):
        StepBatches(data, config(), 0, 3)


def test_fewer_clips_than_the_batch(data: PreparedData) -> None:
    """A small corpus fills the batch in rounds, with different segments of one clip."""
    steps = StepBatches(data, config(batch_size=32))
    assert steps.batches_per_epoch == 1
    counts = Counter(clip.name for clip in steps.clips(0))
    assert set(counts.values()) == {2, 3}
    rows = {row.numpy().tobytes() for row in steps[0].samples}
    assert len(rows) == 32


@pytest.mark.parametrize(("count", "samples"), [(4, 2048), (1, 8192)])
def test_overfit_gives_the_same_segments(data: PreparedData, count: int, samples: int) -> None:
    """N fixed segments at every step (the original project's experiment)."""
    steps = StepBatches(data, config(overfit=count, segment_size=samples))
    first = steps[0].samples
    assert first.shape == (count, samples)
    assert all(torch.equal(steps[step].samples, first) for step in (1, 17, 5000))
    assert len({row.numpy().tobytes() for row in first}) == count
    other = StepBatches(data, config(overfit=count, segment_size=samples, seed=1))
    assert not torch.equal(other[0].samples, first)


def test_mel_windows_lie_over_their_samples(paired: PreparedData) -> None:
    """The samples of a window of frames begin hop times its first frame."""
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
            mel = paired.given_mel(clip)[start : start + 8].T
            assert np.array_equal(batch.mels[slot].numpy(), mel)
            wave = paired.samples(clip)[start * 256 : (start + 8) * 256]
            assert np.array_equal(batch.samples[slot].numpy(), wave)
    assert 0 in starts  # the last window there is


def test_short_mels_are_padded_with_the_log_floor(paired: PreparedData) -> None:
    """0.0 is loud in log units, and buzzes (facts, mistake 8)."""
    steps = StepBatches(paired, config(segment_size=32_768))
    batch = steps[0]
    assert batch.mels is not None
    for slot, clip in enumerate(steps.clips(0)):
        tail = batch.mels[slot, :, clip.mel_frames :]
        assert tail.shape[1] > 0
        assert bool((tail.numpy() == np.float32(LOG_FLOOR)).all())
        assert not batch.samples[slot, clip.samples :].any()


def test_mels_through_workers(paired: PreparedData) -> None:
    """Pairs come from workers whole."""
    steps = StepBatches(paired, config())
    for step, batch in enumerate(load_batches(steps, 0, 3, 2)):
        assert equal(batch, steps[step])


def test_data_and_configuration_must_fit(data: PreparedData, paired: PreparedData) -> None:
    """Another rate, or mels of another convention, would train a useless model."""
    settings = config()
    other_rate = settings.model_copy(update={"mel": MelConfig(sample_rate=24_000)})
    with pytest.raises(UsageError, match="22050 Hz"):
        StepBatches(data, other_rate)
    other_mel = settings.model_copy(update={"mel": MelConfig(fmin=20)})
    StepBatches(data, other_mel)
    with pytest.raises(UsageError, match="fmin differ"):
        StepBatches(paired, other_mel)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path, workers: int) -> None:
    """A packed file that lost its end names the clip and how to mend it, whoever reads."""
    data = prepared(corpus(tmp_path / "in", 5), tmp_path / "out", validation=1)
    last = data.training[-1]
    with (tmp_path / "out" / "samples-00000.i16").open("r+b") as file:
        file.truncate(last.offset * 2)
    with pytest.raises(InputError, match=rf"{last.name} is cut$") as caught:
        list(load_batches(StepBatches(data, config()), 0, 1, workers))
    assert "hifigan preprocess" in str(caught.value.hint)


@pytest.mark.parametrize("workers", [1, 3])
def test_leaving_early_ends_the_workers(data: PreparedData, workers: int) -> None:
    """A run that stops in mid-epoch leaves no thread that reads on."""
    batches = load_batches(StepBatches(data, config()), 0, 100_000, workers)
    next(batches)
    assert _readers()
    batches.close()  # type: ignore[attr-defined]  # a generator
    deadline = time.monotonic() + 10
    while _readers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _readers()


def _readers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("batches")]


def test_reading_ahead_is_bounded(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a few batches wait, however slow the training is."""
    asked = []
    get = StepBatches.__getitem__

    def note(self: StepBatches, step: int) -> Batch:
        asked.append(step)
        return get(self, step)

    monkeypatch.setattr(StepBatches, "__getitem__", note)
    batches = load_batches(StepBatches(data, config()), 0, 1000, 2)
    next(batches)
    time.sleep(0.3)
    assert max(asked) <= 4
    batches.close()  # type: ignore[attr-defined]  # a generator


def test_the_paper_s_epoch(tmp_path: Path) -> None:
    """12 950 clips in batches of 16 are 809 steps."""
    corpus(tmp_path / "in", 2)
    prepare(tmp_path / "in", tmp_path / "out")
    data = prepared(tmp_path / "in", tmp_path / "out")
    data.training = [data.training[0]] * 12_950
    assert StepBatches(data, config(batch_size=16)).batches_per_epoch == 809


@pytest.mark.parametrize(("rank", "world", "segment"), [(0, 1, 1024), (1, 2, 1024), (0, 1, 4096)])
def test_segments_out_of_a_device_s_memory_are_the_same(
    tmp_path: Path, rank: int, world: int, segment: int
) -> None:
    """Protects the scale, the padding of short clips, shares and epochs."""
    data = open_prepared(small.prepare(tmp_path / "data", seed=segment))
    assert any(clip.samples < 4096 for clip in data.training)
    share = (data, small.config(segment_size=segment), rank, world)
    mapped, resident = StepBatches(*share), GpuBatches(*share)
    for step in (0, 1, 7, 100):
        found, expected = resident[step].samples, mapped[step].samples
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_a_processor_maps_its_files(tmp_path: Path) -> None:
    """Protects a machine's memory from a copy of what is mapped already."""
    assert not fits(open_prepared(small.prepare(tmp_path / "data")), torch.device("cpu"))
