"""Outputs of one file, several files and folders; none is overwritten, lost or written twice."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hifigan_cli.errors import BatchError, DeviceError, InputError, OutputError, UsageError
from hifigan_cli.runtime.sharding import Shard
from hifigan_cli.synthesis.events import Event, FileProgress
from hifigan_cli.synthesis.job_runner import run_jobs
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults, plan_jobs
from hifigan_cli.types import FloatArray

WAV = frozenset({".wav", ".flac"})


def write_files(folder: Path, *names: str) -> list[Path]:
    """Write small files below a folder."""
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return paths


def copy(job: Job) -> None:
    """Replace synthesis by a copy."""
    job.target.write_bytes(job.source.read_bytes() + b" copied")


class WriteStage:
    """Processes each file in the write stage."""

    group_size = 1

    def __init__(self, process: Callable[[Job], None]) -> None:
        self.process = process

    def open(self, source: Path) -> Path:
        """Read nothing."""
        return source

    def read_ahead(self, source: Path) -> None:
        """Read nothing."""

    def synthesize(self, sources: Sequence[Path]) -> list[Iterator[FloatArray]]:
        """Generate nothing."""
        return [iter(()) for _ in sources]

    def write(self, job: Job, _source: Path, _blocks: Iterator[FloatArray]) -> None:
        """Process the file."""
        self.process(job)

    def report_written(self, _result: None) -> None:
        """Report nothing."""


def run(
    job_list: JobList,
    process: Callable[[Job], None] = copy,
    report: Callable[[Event], None] = lambda _event: None,
) -> JobResults:
    """Process every job."""
    return run_jobs(job_list, WriteStage(process), report)


def test_one_file(tmp_path: Path) -> None:
    """A file is written under the output's name, or into the output folder."""
    (source,) = write_files(tmp_path, "a.flac")
    assert plan_jobs([source], tmp_path / "b.wav", WAV).jobs == (Job(source, tmp_path / "b.wav"),)
    (tmp_path / "out").mkdir()
    assert plan_jobs([source], tmp_path / "out", WAV).jobs[0].target == tmp_path / "out" / "a.wav"


def test_folder_is_mirrored(tmp_path: Path) -> None:
    """Subfolders, unusual names and order are preserved; other files are ignored."""
    write_files(tmp_path / "in", "b.wav", "sub dir/ä%d.flac", "-dash.wav", "notes.txt", "x/y/z.WAV")
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV).jobs
    targets = [str(job.target.relative_to(tmp_path / "out")) for job in jobs]
    assert targets == ["-dash.wav", "b.wav", "sub dir/ä%d.wav", "x/y/z.wav"]


def test_output_below_input_is_not_read(tmp_path: Path) -> None:
    """Results below the input folder are not inputs of the next run."""
    write_files(tmp_path, "a.wav", "out/a.wav")
    assert [job.source.name for job in plan_jobs([tmp_path], tmp_path / "out", WAV).jobs] == [
        "a.wav"
    ]


def test_link_loop_is_not_followed(tmp_path: Path) -> None:
    """A folder that links to itself is read once."""
    write_files(tmp_path / "in", "a.wav")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert len(plan_jobs([tmp_path / "in"], tmp_path / "out", WAV).jobs) == 1


def test_same_stem_has_two_outputs(tmp_path: Path) -> None:
    """a.wav and a.flac have different outputs."""
    write_files(tmp_path / "in", "a.wav", "a.flac")
    targets = {job.target.name for job in plan_jobs([tmp_path / "in"], tmp_path / "out", WAV).jobs}
    assert targets == {"a.wav.wav", "a.flac.wav"}


def test_two_inputs_with_one_output(tmp_path: Path) -> None:
    """Two inputs of the same name, from different folders, are an error."""
    sources = write_files(tmp_path, "one/a.wav", "two/a.wav")
    with pytest.raises(UsageError, match=r"a\.wav"):
        plan_jobs(sources, tmp_path / "out", WAV)


def test_no_inputs_and_batch_into_a_file(tmp_path: Path) -> None:
    """A folder without audio, and several files into one file, are errors."""
    (file,) = write_files(tmp_path, "in/readme.txt")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "in"))):
        plan_jobs([tmp_path / "in"], tmp_path / "out", WAV)
    write_files(tmp_path, "in/a.wav")
    with pytest.raises(UsageError, match=r"readme\.txt"):
        plan_jobs([tmp_path / "in"], file, WAV)


def test_one_file_is_not_overwritten(tmp_path: Path) -> None:
    """An existing output is only overwritten with `force`, and never if it is the input."""
    source, target = write_files(tmp_path, "a.wav", "b.wav")
    job_list = plan_jobs([source], target, WAV)
    with pytest.raises(OutputError, match=r"b\.wav"):
        run(job_list)
    assert target.read_bytes() == b"sound"
    run(replace(job_list, force=True))
    assert target.read_bytes() == b"sound copied"
    link = tmp_path / "link.wav"
    link.symlink_to(source)
    with pytest.raises(UsageError, match=r"link\.wav"):
        run(plan_jobs([source], link, WAV, force=True))


def test_batch_continues_after_a_bad_file(tmp_path: Path) -> None:
    """A bad file is reported, the others are processed, and existing results are skipped."""
    write_files(tmp_path / "in", *(f"{i}.wav" for i in range(5)))
    write_files(tmp_path / "out", "0.wav")

    def process(job: Job) -> None:
        if job.source.name == "3.wav":
            raise InputError(f"{job.source} is not audio")
        copy(job)

    job_list = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV)
    events: list[Event] = []
    result = run(job_list, process, events.append)
    assert (result.done, result.skipped, len(result.failures)) == (3, 1, 1)
    assert result.failures[0][0].name == "3.wav"
    assert [event.done for event in events if isinstance(event, FileProgress)] == [0, 1, 2, 3, 4, 5]
    assert (tmp_path / "out" / "0.wav").read_bytes() == b"sound"
    rerun = run(job_list)
    assert (rerun.done, rerun.skipped) == (1, 4)


def test_device_error_ends_a_batch(tmp_path: Path) -> None:
    """An error that concerns every file stops the run."""
    write_files(tmp_path / "in", "a.wav", "b.wav")

    def process(_job: Job) -> None:
        raise DeviceError("out of memory")

    with pytest.raises(DeviceError):
        run(plan_jobs([tmp_path / "in"], tmp_path / "out", WAV), process)


def test_folder_is_not_its_own_output(tmp_path: Path) -> None:
    """Results next to their inputs would be inputs of the next run."""
    write_files(tmp_path / "in", "a.flac")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "in"))):
        plan_jobs([tmp_path / "in"], tmp_path / "in", WAV)
    assert plan_jobs([tmp_path / "in"], tmp_path / "in", WAV, ".npy").is_multi_file


@pytest.mark.parametrize("linked", [False, True])
def test_files_are_not_their_own_outputs(tmp_path: Path, linked: bool) -> None:
    """`resynth a/x.wav a/y.wav -o a` fails: the inputs would be skipped as finished results."""
    sources, out = write_files(tmp_path / "a", "x.wav", "y.wav"), tmp_path / "a"
    if linked:
        out = tmp_path / "link"
        out.symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match=r"x\.wav"):
        plan_jobs(sources, out, WAV)
    assert [job.target.name for job in plan_jobs(sources, out, WAV, ".npy").jobs] == [
        "x.npy",
        "y.npy",
    ]


def test_batch_output_is_not_a_file_name(tmp_path: Path) -> None:
    """Two inputs and `-o out.wav` are an error, and do not create a folder out.wav."""
    sources = write_files(tmp_path, "a.wav", "b.wav")
    with pytest.raises(UsageError, match=r"out\.wav"):
        plan_jobs(sources, tmp_path / "out.wav", WAV)


def test_failed_job_creates_no_folder(tmp_path: Path) -> None:
    """A single job that fails creates nothing, not even the folder of its result."""

    def process(_job: Job) -> None:
        raise InputError("no")

    (source,) = write_files(tmp_path, "a.wav")
    job_list = plan_jobs([source], tmp_path / "new" / "deep" / "a.wav", WAV)
    with pytest.raises(InputError):
        run(job_list, process)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", [2, 4])
def test_shards_of_a_folder(tmp_path: Path, count: int) -> None:
    """Exactly one process handles each file; a shard that runs again skips its own results."""
    write_files(tmp_path / "in", *(f"{i}.wav" for i in range(7)), "x/7.flac")
    (tmp_path / "out" / "x").mkdir(parents=True)  # `copy` creates no folders
    unsharded = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV)
    done = 0
    for number in range(1, count + 1):
        shard = Shard(number, count)
        job_list = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV, shard=shard)
        assert job_list.is_multi_file
        done += run(job_list).done
        assert run(job_list).skipped == len(job_list.jobs)
    assert done == 8
    assert run(unsharded).skipped == 8


def test_single_file_belongs_to_one_shard(tmp_path: Path) -> None:
    """One shard processes a single file, and the others skip it."""
    (source,) = write_files(tmp_path, "a.wav")
    target = tmp_path / "b.wav"
    shards = [plan_jobs([source], target, WAV, shard=Shard(number, 3)) for number in (1, 2, 3)]
    assert [len(shard.jobs) for shard in shards] == [1, 0, 0]
    assert run(shards[1]).done == 0
    assert run(shards[0]).done == 1
    assert target.read_bytes() == b"sound copied"


def test_shard_and_unsharded_run_exclude_each_other(tmp_path: Path) -> None:
    """An unsharded run would remove the temporary files of a running shard."""
    sources = write_files(tmp_path / "in", "a.wav", "b.wav")
    unsharded = plan_jobs(sources, tmp_path / "out", WAV)
    shard = plan_jobs(sources, tmp_path / "out", WAV, shard=Shard(1, 2))
    with shard.lock(), pytest.raises(OutputError, match=f"pid {os.getpid()}"), unsharded.lock():
        pass
    with unsharded.lock():
        pass


@pytest.mark.parametrize("existed", [True, False])
def test_empty_output_folder_is_removed(tmp_path: Path, existed: bool) -> None:
    """If nothing was written, a new output folder is removed, and an existing one stays."""
    out, source = tmp_path / "out", tmp_path / "a.wav"
    source.touch()
    if existed:
        out.mkdir()

    def process(_job: Job) -> None:
        raise InputError("no sound", "use --repair")

    job_list = plan_jobs([source, source.with_name("b.wav")], out, WAV)
    with job_list.lock():
        result = run(job_list, process)
    assert isinstance(result.error, BatchError)
    assert out.exists() == existed
