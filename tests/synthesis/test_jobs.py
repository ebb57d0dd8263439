"""Where results go: one file, several, folders; nothing is overwritten, lost or made twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hifigan_cli.errors import BatchError, DeviceError, InputError, OutputError, UsageError
from hifigan_cli.runtime.sharding import Shard
from hifigan_cli.synthesis.events import Event, FileProgress
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults, plan_jobs
from hifigan_cli.synthesis.overlap import run_overlapped
from hifigan_cli.types import FloatArray

WAV = frozenset({".wav", ".flac"})


def make(folder: Path, *names: str) -> list[Path]:
    """Write empty-looking files below a folder."""
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return paths


def copy(job: Job) -> None:
    """Stand in for synthesis."""
    job.target.write_bytes(job.source.read_bytes() + b" made")


class OneStage:
    """Does all the work of a file where it is written."""

    group_size = 1

    def __init__(self, work: Callable[[Job], None]) -> None:
        self.work = work

    def open(self, source: Path) -> Path:
        """Read nothing."""
        return source

    def read_ahead(self, source: Path) -> None:
        """Read nothing."""

    def synthesize(self, sources: Sequence[Path]) -> list[Iterator[FloatArray]]:
        """Generate nothing."""
        return [iter(()) for _ in sources]

    def write(self, job: Job, _source: Path, _blocks: Iterator[FloatArray]) -> None:
        """Do the work."""
        self.work(job)

    def written(self, _result: None) -> None:
        """Report nothing."""


def run(
    batch: JobList,
    work: Callable[[Job], None] = copy,
    report: Callable[[Event], None] = lambda _event: None,
) -> JobResults:
    """Do some work for every job."""
    return run_overlapped(batch, OneStage(work), report)


def test_one_file(tmp_path: Path) -> None:
    """A file goes to the name given, or into the folder given."""
    (source,) = make(tmp_path, "a.flac")
    assert plan_jobs([source], tmp_path / "b.wav", WAV).jobs == (Job(source, tmp_path / "b.wav"),)
    (tmp_path / "out").mkdir()
    assert plan_jobs([source], tmp_path / "out", WAV).jobs[0].target == tmp_path / "out" / "a.wav"


def test_folder_is_mirrored(tmp_path: Path) -> None:
    """Sub-folders, odd names and order are kept; other files are left alone."""
    make(tmp_path / "in", "b.wav", "sub dir/ä%d.flac", "-dash.wav", "notes.txt", "x/y/z.WAV")
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV).jobs
    targets = [str(job.target.relative_to(tmp_path / "out")) for job in jobs]
    assert targets == ["-dash.wav", "b.wav", "sub dir/ä%d.wav", "x/y/z.wav"]


def test_output_inside_input_is_not_read_again(tmp_path: Path) -> None:
    """Mistake 10: results below the input folder are not inputs of the next run."""
    make(tmp_path, "a.wav", "out/a.wav")
    assert [job.source.name for job in plan_jobs([tmp_path], tmp_path / "out", WAV).jobs] == [
        "a.wav"
    ]


def test_link_loops_end(tmp_path: Path) -> None:
    """A folder that links to itself is walked once."""
    make(tmp_path / "in", "a.wav")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert len(plan_jobs([tmp_path / "in"], tmp_path / "out", WAV).jobs) == 1


def test_same_stem_keeps_both(tmp_path: Path) -> None:
    """a.wav and a.flac become two results."""
    make(tmp_path / "in", "a.wav", "a.flac")
    targets = {job.target.name for job in plan_jobs([tmp_path / "in"], tmp_path / "out", WAV).jobs}
    assert targets == {"a.wav.wav", "a.flac.wav"}


def test_two_sources_one_result(tmp_path: Path) -> None:
    """Two inputs of one name, of different folders, are refused before any work."""
    sources = make(tmp_path, "one/a.wav", "two/a.wav")
    with pytest.raises(UsageError, match="both become"):
        plan_jobs(sources, tmp_path / "out", WAV)


def test_impossible_plans(tmp_path: Path) -> None:
    """A folder without audio, and a batch into a file, say so."""
    (file,) = make(tmp_path, "in/readme.txt")
    with pytest.raises(InputError, match="no files to work on"):
        plan_jobs([tmp_path / "in"], tmp_path / "out", WAV)
    make(tmp_path, "in/a.wav")
    with pytest.raises(UsageError, match="several results need a folder"):
        plan_jobs([tmp_path / "in"], file, WAV)


def test_one_file_is_not_overwritten(tmp_path: Path) -> None:
    """An existing result stays, byte for byte, unless forced; its own input never."""
    source, target = make(tmp_path, "a.wav", "b.wav")
    todo = plan_jobs([source], target, WAV)
    with pytest.raises(OutputError, match="exists"):
        run(todo)
    assert target.read_bytes() == b"sound"
    run(replace(todo, force=True))
    assert target.read_bytes() == b"sound made"
    link = tmp_path / "link.wav"
    link.symlink_to(source)
    with pytest.raises(UsageError, match="both input and output"):
        run(plan_jobs([source], link, WAV, force=True))


def test_a_batch_goes_on(tmp_path: Path) -> None:
    """A bad file is reported and the rest is done; what exists is skipped and counted."""
    make(tmp_path / "in", *(f"{i}.wav" for i in range(5)))
    make(tmp_path / "out", "0.wav")

    def work(job: Job) -> None:
        if job.source.name == "3.wav":
            raise InputError(f"{job.source} is not audio")
        copy(job)

    todo = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV)
    seen: list[Event] = []
    outcome = run(todo, work, seen.append)
    assert (outcome.done, outcome.skipped, len(outcome.failures)) == (3, 1, 1)
    assert outcome.failures[0][0].name == "3.wav"
    assert [event.done for event in seen if isinstance(event, FileProgress)] == [0, 1, 2, 3, 4, 5]
    assert (tmp_path / "out" / "0.wav").read_bytes() == b"sound"
    again = run(todo)
    assert (again.done, again.skipped) == (1, 4)


def test_a_lost_device_ends_a_batch(tmp_path: Path) -> None:
    """What would fail for every file stops at the first."""
    make(tmp_path / "in", "a.wav", "b.wav")

    def work(_job: Job) -> None:
        raise DeviceError("out of memory")

    with pytest.raises(DeviceError):
        run(plan_jobs([tmp_path / "in"], tmp_path / "out", WAV), work)


def test_a_folder_is_not_its_own_output(tmp_path: Path) -> None:
    """Mistake 10: results beside their inputs would be inputs of the next run."""
    make(tmp_path / "in", "a.flac")
    with pytest.raises(UsageError, match="both input and output"):
        plan_jobs([tmp_path / "in"], tmp_path / "in", WAV)
    assert plan_jobs([tmp_path / "in"], tmp_path / "in", WAV, ".npy").many


@pytest.mark.parametrize("linked", [False, True])
def test_files_do_not_go_beside_themselves(tmp_path: Path, linked: bool) -> None:
    """Guard `resynth a/x.wav a/y.wav -o a`: they would exist, and so be passed over as if made."""
    sources, out = make(tmp_path / "a", "x.wav", "y.wav"), tmp_path / "a"
    if linked:
        out = tmp_path / "link"
        out.symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="both input and output"):
        plan_jobs(sources, out, WAV)
    assert [job.target.name for job in plan_jobs(sources, out, WAV, ".npy").jobs] == [
        "x.npy",
        "y.npy",
    ]


def test_a_batch_into_the_name_of_a_file(tmp_path: Path) -> None:
    """Two inputs and `-o out.wav` is a mistake, not a folder called out.wav."""
    sources = make(tmp_path, "a.wav", "b.wav")
    with pytest.raises(UsageError, match="several results need a folder"):
        plan_jobs(sources, tmp_path / "out.wav", WAV)


def test_failed_work_leaves_no_folders(tmp_path: Path) -> None:
    """A single job that fails makes nothing, not even the folder of its result."""

    def work(_job: Job) -> None:
        raise InputError("no")

    (source,) = make(tmp_path, "a.wav")
    todo = plan_jobs([source], tmp_path / "new" / "deep" / "a.wav", WAV)
    with pytest.raises(InputError):
        run(todo, work)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", [2, 4])
def test_parts_share_a_folder(tmp_path: Path, count: int) -> None:
    """Every file is done by exactly one process; a part done again finds its own results."""
    make(tmp_path / "in", *(f"{i}.wav" for i in range(7)), "x/7.flac")
    (tmp_path / "out" / "x").mkdir(parents=True)  # `copy` makes no folders
    whole = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV)
    made = 0
    for number in range(1, count + 1):
        shard = Shard(number, count)
        todo = plan_jobs([tmp_path / "in"], tmp_path / "out", WAV, shard=shard)
        assert todo.many
        made += run(todo).done
        assert run(todo).skipped == len(todo.jobs)
    assert made == 8
    assert run(whole).skipped == 8


def test_a_single_file_is_done_by_one_part(tmp_path: Path) -> None:
    """There is nothing to share, and still nobody does it twice."""
    (source,) = make(tmp_path, "a.wav")
    target = tmp_path / "b.wav"
    parts = [plan_jobs([source], target, WAV, shard=Shard(number, 3)) for number in (1, 2, 3)]
    assert [len(part.jobs) for part in parts] == [1, 0, 0]
    assert run(parts[1]).done == 0
    assert run(parts[0]).done == 1
    assert target.read_bytes() == b"sound made"


def test_a_shard_and_all_of_the_work_exclude_each_other(tmp_path: Path) -> None:
    """Who does all of a folder would sweep away what a shard is writing."""
    sources = make(tmp_path / "in", "a.wav", "b.wav")
    complete = plan_jobs(sources, tmp_path / "out", WAV)
    shard = plan_jobs(sources, tmp_path / "out", WAV, shard=Shard(1, 2))
    with shard.hold(), pytest.raises(OutputError, match="in use by pid"), complete.hold():
        pass
    with complete.hold():
        pass


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_was_there_stays(tmp_path: Path, there: bool) -> None:
    """Where nothing was written, a folder that was created for it goes, and the user's stays."""
    out, source = tmp_path / "out", tmp_path / "a.wav"
    source.touch()
    if there:
        out.mkdir()

    def work(_job: Job) -> None:
        raise InputError("no sound", "--repair helps")

    batch = plan_jobs([source, source.with_name("b.wav")], out, WAV)
    with batch.hold():
        result = run(batch, work)
    assert isinstance(result.error, BatchError)
    assert out.exists() == there
