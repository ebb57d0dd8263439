"""Graphs: recorded for shapes that come again, and never other samples than without.

CUDA graphs need a GPU. What decides and copies around them is tried with recordings on the CPU that
do what a graph does: compute anew, into the same memory, of what their own input holds.
"""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hifigan_cli.engines import graphs
from hifigan_cli.engines.graphs import MOST_FRAMES, MOST_GRAPHS, CapturedGraph, Graphs
from hifigan_cli.engines.torch import TorchEngine, inference
from tests.engines.test_torch import mel_of, snr_db
from tests.models_for_tests import TINY, loud_model


class Recorder:
    """Records on the CPU; counts what it records and how often that is replayed."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, network: graphs.Network, mel: Tensor) -> CapturedGraph:
        self.shapes.append(tuple(mel.shape))
        given = torch.zeros_like(mel)
        made = network(given)

        def replay() -> None:
            self.replays += 1
            made.copy_(network(given))

        return CapturedGraph(given, made, replay)


def louder(mel: Tensor) -> Tensor:
    return mel * 2


def random_mel(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), max_size=40),
    batch=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_samples_are_those_of_the_network(lengths: list[int], batch: int, seed: int) -> None:
    """In any order of shapes, what came out earlier is not touched by what comes later."""
    recorder = Recorder()
    run = Graphs(louder, recorder)
    mels = [random_mel(batch, 3, 1, n, seed=seed + i) for i, n in enumerate(lengths)]
    waves = [run(mel) for mel in mels]
    for mel, wave in zip(mels, waves, strict=True):
        assert torch.equal(wave, mel * 2)
    repeated = {n for n in lengths if lengths.count(n) > 1}
    assert {shape[-1] for shape in recorder.shapes} == repeated
    assert recorder.replays == sum(lengths.count(n) - 1 for n in repeated)


def test_files_of_their_own_lengths_are_not_recorded() -> None:
    """A recording costs runs and memory: nothing that comes once, nothing that is long."""
    recorder = Recorder()
    run = Graphs(louder, recorder)
    for frames in range(1, 50):
        run(random_mel(1, 3, 1, frames))
    for _ in range(3):
        run(random_mel(2, 3, 1, MOST_FRAMES // 2 + 1))
    assert recorder.shapes == []
    run(random_mel(1, 3, 1, 1))
    assert recorder.shapes == [(1, 3, 1, 1)]


def test_the_least_used_goes() -> None:
    """Memory is taken for so many shapes; the one that has waited longest makes room."""
    recorder = Recorder()
    run = Graphs(louder, recorder)
    for frames in [*range(1, MOST_GRAPHS + 1)] * 2:
        run(random_mel(1, 3, 1, frames))
    run(random_mel(1, 3, 1, 1))  # used again: 2 has waited longest now
    for _ in range(2):
        run(random_mel(1, 3, 1, MOST_GRAPHS + 1))
    recorded = len(recorder.shapes)
    run(random_mel(1, 3, 1, 1))
    assert len(recorder.shapes) == recorded
    run(random_mel(1, 3, 1, 2))
    assert recorder.shapes[recorded:] == [(1, 3, 1, 2)]


@pytest.mark.parametrize("error", [RuntimeError("not permitted"), torch.OutOfMemoryError("full")])
def test_without_recordings_it_still_runs(error: RuntimeError) -> None:
    """Guard a GPU on which recording fails: it says why once, and does not try again."""
    tries = 0

    def fail(_network: graphs.Network, _mel: Tensor) -> CapturedGraph:
        nonlocal tries
        tries += 1
        raise error

    run = Graphs(louder, fail)
    for seed in range(4):
        mel = random_mel(1, 3, 1, 5, seed=seed)
        assert torch.equal(run(mel), mel * 2)
    assert tries == 1
    assert run.failure == str(error)


def test_no_memory_gives_recordings_back() -> None:
    """When a long call finds no room, the graphs' own is given back before chunks are halved."""

    def network(mel: Tensor) -> Tensor:
        if mel.shape[-1] > MOST_FRAMES:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mel * 2

    recorder = Recorder()
    run = Graphs(network, recorder)
    for _ in range(2):
        run(random_mel(1, 3, 1, 5))
    with pytest.raises(torch.OutOfMemoryError):
        run(random_mel(1, 3, 1, MOST_FRAMES + 1))
    run(random_mel(1, 3, 1, 5))
    assert len(recorder.shapes) == 2


def test_threads_do_not_mix() -> None:
    """Guard the one input of a recording against two callers at once."""
    run = Graphs(louder, Recorder())
    wrong: list[int] = []

    def work(seed: int) -> None:
        mel = random_mel(1, 8, 1, 400, seed=seed)
        wrong.extend(seed for _ in range(50) if not torch.equal(run(mel), mel * 2))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_torch_engine_runs_through_them() -> None:
    """A real generator, replayed: the samples of the engine without."""
    engine, mels = TorchEngine(loud_model(TINY)), [mel_of(2, 30, seed) for seed in range(4)]
    expected = [engine.synthesize(mel) for mel in mels]
    recorder = Recorder()
    engine._run = Graphs(engine._net, recorder)
    for mel, wave in zip(mels, expected, strict=True):
        assert snr_db(engine.synthesize(mel), wave) > 110
    assert recorder.replays == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu(precision: str) -> None:
    """Real graphs give the samples of the same network without, at two shapes in turn."""
    model = loud_model(TINY)
    engine = TorchEngine(model, precision, device="cuda")
    assert isinstance(engine._run, Graphs)
    for seed in range(6):
        mel = mel_of(1, 40 + seed % 2, seed)
        with inference():
            frames = torch.from_numpy(mel).to("cuda", engine._dtype)
            given = frames[:, :, None] if engine._wide else frames
            expected = engine._net(given).flatten(1).float().cpu().numpy()
        assert snr_db(engine.synthesize(mel), expected) > (110 if precision == "fp32" else 40)
    assert engine._run.failure is None
