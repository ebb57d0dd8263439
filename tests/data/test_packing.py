"""Test packed files: independent of their size, few open at a time, damage located."""

from __future__ import annotations

import gc
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hifigan_cli.data import PreparedData, StepBatches, open_prepared
from hifigan_cli.data.prepared import PackedFiles
from hifigan_cli.data.records import CLIPS_FILE, Clip, read_json_lines, samples_file
from hifigan_cli.errors import InputError, OutputError
from hifigan_cli.runtime.sharding import Shard
from tests.data.corpora import (
    config,
    content,
    digests,
    prepare,
    prepare_and_open,
    without_position,
    write_corpus,
    write_pairs,
)

SMALL = 45_000  # bytes: two of these clips


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "in", 9)


@pytest.fixture(scope="module")
def single_file(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the corpus prepared in a single file."""
    folder = tmp_path_factory.mktemp("one") / "out"
    prepare(source, folder)
    return folder


@pytest.fixture(scope="module")
def many_files(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the corpus prepared in several files."""
    folder = tmp_path_factory.mktemp("many") / "out"
    prepare(source, folder, max_file_bytes=SMALL)
    return folder


def test_files_have_complete_clips_below_their_size(many_files: Path) -> None:
    """Each file is below the limit, has complete clips, and a checksum in the manifest."""
    data = open_prepared(many_files)
    files = sorted(many_files.glob("samples-*.i16"))
    assert len(files) > 3
    assert all(path.stat().st_size <= SMALL for path in files)
    assert {path.name for path in files} < set(data.manifest.files)
    ends: dict[int, int] = {}
    for clip in read_json_lines(many_files / CLIPS_FILE, Clip):
        assert clip.offset == ends.get(clip.file_index, 0)
        ends[clip.file_index] = clip.offset + clip.samples
    sizes = {samples_file(index): 2 * end for index, end in ends.items()}
    assert sizes == {path.name: path.stat().st_size for path in files}
    data.verify()


def test_clip_larger_than_a_file(source: Path, tmp_path: Path) -> None:
    """With a limit below every clip, each clip has its own file."""
    prepare(source, tmp_path, max_file_bytes=1)
    assert len(list(tmp_path.glob("samples-*.i16"))) == 9
    open_prepared(tmp_path).verify()


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(limit=st.integers(1, 120_000))
def test_content_does_not_depend_on_file_size(
    source: Path, single_file: Path, tmp_path_factory: pytest.TempPathFactory, limit: int
) -> None:
    """Samples, index and order equal those of a single file."""
    folder = tmp_path_factory.mktemp("cut")
    prepare(source, folder, max_file_bytes=limit)
    assert content(folder) == content(single_file)


def test_batches_do_not_depend_on_files(single_file: Path, many_files: Path) -> None:
    """The batches of several epochs are equal bit for bit."""
    a, b = (StepBatches(open_prepared(folder), config()) for folder in (single_file, many_files))
    for step in range(7):
        assert torch.equal(a[step].samples, b[step].samples)


def test_mel_and_sample_files_have_the_same_clips(tmp_path: Path) -> None:
    """With input mels both files of an index are below the limit and have the same clips."""
    write_pairs(tmp_path / "in", tmp_path / "mels", 6)
    options = {"mels": tmp_path / "mels"}
    single = prepare_and_open(tmp_path / "in", tmp_path / "one", **options)
    several = prepare_and_open(tmp_path / "in", tmp_path / "many", max_file_bytes=SMALL, **options)
    for kind in ("samples-*.i16", "mels-*.f32"):
        sizes = [path.stat().st_size for path in (tmp_path / "many").glob(kind)]
        assert len(sizes) > 2
        assert max(sizes) <= SMALL
    for a, b in zip(single.training, several.training, strict=True):
        assert without_position(a) == without_position(b)
        assert np.array_equal(single.input_mel(a), several.input_mel(b))
    several.verify()


def test_other_file_size_is_rejected(many_files: Path, source: Path) -> None:
    """The error names the size, and nothing changes."""
    before = digests(many_files)
    with pytest.raises(OutputError, match=r"max_file_bytes .*45000.* 1073741824"):
        prepare(source, many_files)
    assert digests(many_files) == before


def test_verify_names_file_and_clip(many_files: Path, tmp_path: Path) -> None:
    """For one wrong bit the error names only its file and clip."""
    shutil.copytree(many_files, tmp_path, dirs_exist_ok=True)
    data = open_prepared(tmp_path)
    clip = next(c for c in data.training if c.file_index == 2)
    packed = bytearray((tmp_path / "samples-00002.i16").read_bytes())
    packed[2 * clip.offset + 5] ^= 1
    (tmp_path / "samples-00002.i16").write_bytes(packed)
    with pytest.raises(InputError) as caught:
        data.verify()
    assert re.search(rf": samples-00002\.i16; 1 clips .*: {clip.name}$", caught.value.message)


@pytest.mark.parametrize("count", [2, 4])
def test_shards_verify_all_files_together(many_files: Path, tmp_path: Path, count: int) -> None:
    """Exactly one of several processes reads each file."""
    shutil.copytree(many_files, tmp_path, dirs_exist_ok=True)
    data = open_prepared(tmp_path)
    for name in data.manifest.files:
        original = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(original + b"x")
        failures = 0
        for number in range(1, count + 1):
            try:
                data.verify(Shard(number, count))
            except InputError:
                failures += 1
        (tmp_path / name).write_bytes(original)
        assert failures == 1


def packed_files(folder: Path, count: int) -> PackedFiles:
    """Write files of four numbers each; return them with at most two open files."""
    for index in range(count):
        np.arange(4 * index, 4 * index + 4, dtype="<i2").tofile(folder / str(index))
    return PackedFiles(lambda index: folder / str(index), "<i2", max_open_files=2)


def count_opened(files: PackedFiles) -> int:
    """Return how many times a file was mapped."""
    return files._mapping.cache_info().misses


def test_few_files_stay_open(tmp_path: Path) -> None:
    """The least recently used file is closed; arrays from it stay valid."""
    files = packed_files(tmp_path, 5)
    first = files.read(0, 1, 3, "a")
    for index in (1, 0, 2, 0, 2):
        assert files.read(index, 0, 4, "b").tolist() == list(range(4 * index, 4 * index + 4))
    assert count_opened(files) == 3  # 0 stayed, 1 was closed for 2
    files.read(1, 0, 1, "c")
    files.read(3, 0, 1, "c")
    assert count_opened(files) == 5
    del files
    gc.collect()
    assert first.tolist() == [1, 2]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_file_descriptors_are_closed(tmp_path: Path) -> None:
    """A corpus of thousands of packed files does not run out of file descriptors."""
    files = packed_files(tmp_path, 40)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for index in range(40):
        files.read(index, 0, 4, "a")
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 2


def test_files_are_opened_on_demand(many_files: Path) -> None:
    """A process that reads the clips of one file opens only that file."""
    data = open_prepared(many_files)
    clips = [clip for clip in data.training if clip.file_index == 1]
    assert clips
    for clip in clips:
        data.samples(clip)
    assert count_opened(data._samples) == 1


def test_index_supports_indices_and_slices(many_files: Path) -> None:
    """Indices and slices, also negative ones, give the clips of the file."""
    data: PreparedData = open_prepared(many_files)
    lines = [c for c in read_json_lines(many_files / CLIPS_FILE, Clip) if c.split == "training"]
    assert list(data.training) == lines
    assert data.training[-1] == lines[-1]
    assert list(data.training[1:7:2]) == lines[1:7:2]
    with pytest.raises(IndexError):
        data.training[len(lines)]


def test_clip_name_does_not_determine_split(tmp_path: Path) -> None:
    """A clip name may contain the text of a split field."""
    folder = write_corpus(tmp_path / "in", 4)
    name = 'x"split": "validation".wav'
    (folder / "clip000.wav").rename(folder / name)
    data = prepare_and_open(folder, tmp_path / "out", validation=1)
    splits = {
        clip.path: clip.split for clip in read_json_lines(tmp_path / "out" / CLIPS_FILE, Clip)
    }
    assert {clip.path for clip in data.validation} == {
        p for p, s in splits.items() if s != "training"
    }
    assert len(data.validation) == 1
    assert len(data.training) == 3
