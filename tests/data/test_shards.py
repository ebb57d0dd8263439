"""Shards: the same data however they are cut, few open at a time, the changed one named."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hifigan_cli.data import PreparedData, StepBatches, open_prepared
from hifigan_cli.data.prepared import PackedFiles
from hifigan_cli.data.records import CLIPS_FILE, Clip, read_lines, samples_file
from hifigan_cli.errors import InputError, OutputError
from hifigan_cli.runtime.sharding import Shard
from tests.data.corpora import (
    config,
    content,
    corpus,
    digests,
    pairs,
    placeless,
    prepare,
    prepared,
)

SMALL = 45_000  # bytes: two of these clips


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus") / "in", 9)


@pytest.fixture(scope="module")
def one(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the corpus prepared in a single shard."""
    folder = tmp_path_factory.mktemp("one") / "out"
    prepare(source, folder)
    return folder


@pytest.fixture(scope="module")
def many(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the corpus prepared in several shards."""
    folder = tmp_path_factory.mktemp("many") / "out"
    prepare(source, folder, shard_bytes=SMALL)
    return folder


def test_shards_keep_to_their_size_and_cut_no_clip(many: Path) -> None:
    """Each file stays below the limit, has complete clips only, and a checksum in the manifest."""
    data = open_prepared(many)
    files = sorted(many.glob("samples-*.i16"))
    assert len(files) > 3
    assert all(path.stat().st_size <= SMALL for path in files)
    assert {path.name for path in files} < set(data.manifest.files)
    ends: dict[int, int] = {}
    for clip in read_lines(many / CLIPS_FILE, Clip):
        assert clip.offset == ends.get(clip.shard, 0)
        ends[clip.shard] = clip.offset + clip.samples
    sizes = {samples_file(shard): 2 * end for shard, end in ends.items()}
    assert sizes == {path.name: path.stat().st_size for path in files}
    data.verify()


def test_a_clip_larger_than_a_shard_has_one_of_its_own(source: Path, tmp_path: Path) -> None:
    """No limit is too small: then every clip is a shard."""
    prepare(source, tmp_path, shard_bytes=1)
    assert len(list(tmp_path.glob("samples-*.i16"))) == 9
    open_prepared(tmp_path).verify()


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limit=st.integers(1, 120_000))
def test_the_cut_changes_nothing(
    source: Path, one: Path, tmp_path_factory: pytest.TempPathFactory, limit: int
) -> None:
    """Samples, index and order are those of a single shard, wherever shards end."""
    folder = tmp_path_factory.mktemp("cut")
    prepare(source, folder, shard_bytes=limit)
    assert content(folder) == content(one)


def test_the_order_of_training_is_the_same_whatever_the_shards(one: Path, many: Path) -> None:
    """Every batch of several epochs, bit for bit."""
    a, b = (StepBatches(open_prepared(folder), config()) for folder in (one, many))
    for step in range(7):
        assert torch.equal(a[step].samples, b[step].samples)


def test_given_mels_go_with_their_samples(tmp_path: Path) -> None:
    """With pairs both files of a shard stay below the limit, and a clip's lie in the same shard."""
    pairs(tmp_path / "in", tmp_path / "mels", 6)
    options = {"mels": tmp_path / "mels"}
    whole = prepared(tmp_path / "in", tmp_path / "one", **options)
    parts = prepared(tmp_path / "in", tmp_path / "many", shard_bytes=SMALL, **options)
    for kind in ("samples-*.i16", "mels-*.f32"):
        sizes = [path.stat().st_size for path in (tmp_path / "many").glob(kind)]
        assert len(sizes) > 2
        assert max(sizes) <= SMALL
    for a, b in zip(whole.training, parts.training, strict=True):
        assert placeless(a) == placeless(b)
        assert np.array_equal(whole.given_mel(a), parts.given_mel(b))
    parts.verify()


def test_another_size_of_shards_is_another_preparation(many: Path, source: Path) -> None:
    """The size is named, and nothing is touched."""
    before = digests(many)
    with pytest.raises(OutputError, match="shard_bytes was 45000, now 1073741824"):
        prepare(source, many)
    assert digests(many) == before


def test_verify_names_the_shard_and_the_clip(many: Path, tmp_path: Path) -> None:
    """One bit in one shard: that file and the clip in which it lies, no other."""
    shutil.copytree(many, tmp_path, dirs_exist_ok=True)
    data = open_prepared(tmp_path)
    clip = next(c for c in data.training if c.shard == 2)
    packed = bytearray((tmp_path / "samples-00002.i16").read_bytes())
    packed[2 * clip.offset + 5] ^= 1
    (tmp_path / "samples-00002.i16").write_bytes(packed)
    with pytest.raises(InputError) as caught:
        data.verify()
    assert f"prepared: samples-00002.i16; 1 clips differ: {clip.name}" in caught.value.message


@pytest.mark.parametrize("count", [2, 4])
def test_parts_verify_all_between_them(many: Path, tmp_path: Path, count: int) -> None:
    """Every file is read by exactly one of several processes."""
    shutil.copytree(many, tmp_path, dirs_exist_ok=True)
    data = open_prepared(tmp_path)
    for name in data.manifest.files:
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(kept + b"x")
        found = 0
        for number in range(1, count + 1):
            try:
                data.verify(Shard(number, count))
            except InputError:
                found += 1
        (tmp_path / name).write_bytes(kept)
        assert found == 1


def numbers(folder: Path, count: int) -> PackedFiles:
    """Write shards of four numbers each, of which two may be open."""
    for shard in range(count):
        np.arange(4 * shard, 4 * shard + 4, dtype="<i2").tofile(folder / str(shard))
    return PackedFiles(lambda shard: folder / str(shard), "<i2", most_open=2)


def opened(shards: PackedFiles) -> int:
    """Return how many times a file was mapped."""
    return shards._mapped.cache_info().misses


def test_few_shards_stay_open(tmp_path: Path) -> None:
    """The one that was not read for longest is closed; what was read from it stays valid."""
    shards = numbers(tmp_path, 5)
    first = shards.read(0, 1, 3, "a")
    for shard in (1, 0, 2, 0, 2):
        assert shards.read(shard, 0, 4, "b").tolist() == list(range(4 * shard, 4 * shard + 4))
    assert opened(shards) == 3  # 0 stayed, 1 was closed for 2
    shards.read(1, 0, 1, "c")
    shards.read(3, 0, 1, "c")
    assert opened(shards) == 5
    del shards
    gc.collect()
    assert first.tolist() == [1, 2]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_closed_shards_hold_no_files(tmp_path: Path) -> None:
    """A corpus of thousands of shards does not run out of file descriptors."""
    shards = numbers(tmp_path, 40)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for shard in range(40):
        shards.read(shard, 0, 4, "a")
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 2


def test_only_what_is_asked_for_is_opened(many: Path) -> None:
    """A process that reads the clips of one shard opens that one."""
    data = open_prepared(many)
    clips = [clip for clip in data.training if clip.shard == 1]
    assert clips
    for clip in clips:
        data.samples(clip)
    assert opened(data._samples) == 1


def test_an_index_is_read_clip_by_clip(many: Path) -> None:
    """Clips come by number and by slice, from either end, equal to the lines of the file."""
    data: PreparedData = open_prepared(many)
    lines = [c for c in read_lines(many / CLIPS_FILE, Clip) if c.split == "training"]
    assert list(data.training) == lines
    assert data.training[-1] == lines[-1]
    assert list(data.training[1:7:2]) == lines[1:7:2]
    with pytest.raises(IndexError):
        data.training[len(lines)]


def test_a_name_does_not_decide_the_split(tmp_path: Path) -> None:
    """A clip may be called what a line of the index says of validation."""
    folder = corpus(tmp_path / "in", 4)
    name = 'x"split": "validation".wav'
    (folder / "clip000.wav").rename(folder / name)
    data = prepared(folder, tmp_path / "out", validation=1)
    told = {clip.path: clip.split for clip in read_lines(tmp_path / "out" / CLIPS_FILE, Clip)}
    assert {clip.path for clip in data.validation} == {
        p for p, s in told.items() if s != "training"
    }
    assert len(data.validation) == 1
    assert len(data.training) == 3
