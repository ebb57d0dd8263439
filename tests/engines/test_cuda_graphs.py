"""CUDA graphs: captured for repeated shapes, with the same samples as without graphs.

CUDA graphs need a GPU. On the CPU these tests use fake graphs, which do what a graph does: a replay
computes from the graph's input and writes into the same memory.
"""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hifigan_cli.engines.cuda_graphs import (
    MAX_FRAMES,
    MAX_GRAPHS,
    CapturedGraph,
    CudaGraphRunner,
    Network,
)
from hifigan_cli.engines.torch import TorchEngine, inference
from tests.engines.test_torch import mel_of, snr_db
from tests.models_for_tests import TINY, loud_model


class FakeCapture:
    """Captures fake graphs on the CPU; records their shapes and counts replays."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, network: Network, mel: Tensor) -> CapturedGraph:
        self.shapes.append(tuple(mel.shape))
        static_mel = torch.zeros_like(mel)
        samples = network(static_mel)

        def replay() -> None:
            self.replays += 1
            samples.copy_(network(static_mel))

        return CapturedGraph(static_mel, samples, replay)


def double(mel: Tensor) -> Tensor:
    return mel * 2


def random_mel(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), max_size=40),
    batch=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_samples_equal_the_network(lengths: list[int], batch: int, seed: int) -> None:
    """In any order of shapes, later calls do not change earlier results."""
    capture = FakeCapture()
    run = CudaGraphRunner(double, capture)
    mels = [random_mel(batch, 3, 1, n, seed=seed + i) for i, n in enumerate(lengths)]
    waves = [run(mel) for mel in mels]
    for mel, wave in zip(mels, waves, strict=True):
        assert torch.equal(wave, mel * 2)
    repeated = {n for n in lengths if lengths.count(n) > 1}
    assert {shape[-1] for shape in capture.shapes} == repeated
    assert capture.replays == sum(lengths.count(n) - 1 for n in repeated)


def test_single_and_long_shapes_are_not_captured() -> None:
    """A capture costs runs and memory, so shapes that come once or are long are not captured."""
    capture = FakeCapture()
    run = CudaGraphRunner(double, capture)
    for frames in range(1, 50):
        run(random_mel(1, 3, 1, frames))
    for _ in range(3):
        run(random_mel(2, 3, 1, MAX_FRAMES // 2 + 1))
    assert capture.shapes == []
    run(random_mel(1, 3, 1, 1))
    assert capture.shapes == [(1, 3, 1, 1)]


def test_least_recently_used_graph_is_dropped() -> None:
    """The number of graphs is limited; a new graph replaces the least recently used one."""
    capture = FakeCapture()
    run = CudaGraphRunner(double, capture)
    for frames in [*range(1, MAX_GRAPHS + 1)] * 2:
        run(random_mel(1, 3, 1, frames))
    run(random_mel(1, 3, 1, 1))  # now 2 is the least recently used
    for _ in range(2):
        run(random_mel(1, 3, 1, MAX_GRAPHS + 1))
    captured = len(capture.shapes)
    run(random_mel(1, 3, 1, 1))
    assert len(capture.shapes) == captured
    run(random_mel(1, 3, 1, 2))
    assert capture.shapes[captured:] == [(1, 3, 1, 2)]


@pytest.mark.parametrize("error", [RuntimeError("not permitted"), torch.OutOfMemoryError("full")])
def test_failed_capture_falls_back(error: RuntimeError) -> None:
    """If a capture fails, the runner stores the reason, runs without graphs and does not retry."""
    tries = 0

    def fail(_network: Network, _mel: Tensor) -> CapturedGraph:
        nonlocal tries
        tries += 1
        raise error

    run = CudaGraphRunner(double, fail)
    for seed in range(4):
        mel = random_mel(1, 3, 1, 5, seed=seed)
        assert torch.equal(run(mel), mel * 2)
    assert tries == 1
    assert run.failure == str(error)


def test_out_of_memory_frees_the_graphs() -> None:
    """If a long call runs out of memory, the graphs are freed before chunks are halved."""

    def network(mel: Tensor) -> Tensor:
        if mel.shape[-1] > MAX_FRAMES:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mel * 2

    capture = FakeCapture()
    run = CudaGraphRunner(network, capture)
    for _ in range(2):
        run(random_mel(1, 3, 1, 5))
    with pytest.raises(torch.OutOfMemoryError):
        run(random_mel(1, 3, 1, MAX_FRAMES + 1))
    run(random_mel(1, 3, 1, 5))
    assert len(capture.shapes) == 2


def test_concurrent_calls_get_their_own_samples() -> None:
    """Two concurrent callers do not overwrite the single input of a graph."""
    run = CudaGraphRunner(double, FakeCapture())
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


def test_torch_engine_with_graphs() -> None:
    """A replayed generator returns the samples of the engine without graphs."""
    engine, mels = TorchEngine(loud_model(TINY)), [mel_of(2, 30, seed) for seed in range(4)]
    expected = [engine.synthesize(mel) for mel in mels]
    capture = FakeCapture()
    engine._run = CudaGraphRunner(engine._net, capture)
    for mel, wave in zip(mels, expected, strict=True):
        assert snr_db(engine.synthesize(mel), wave) > 110
    assert capture.replays == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_cuda_graphs_equal_the_network(precision: str) -> None:
    """CUDA graphs return the network's samples, with two alternating shapes."""
    model = loud_model(TINY)
    engine = TorchEngine(model, precision, device="cuda")
    assert isinstance(engine._run, CudaGraphRunner)
    for seed in range(6):
        mel = mel_of(1, 40 + seed % 2, seed)
        with inference():
            frames = torch.from_numpy(mel).to("cuda", engine._dtype)
            x = frames[:, :, None] if engine._uses_conv2d else frames
            expected = engine._net(x).flatten(1).float().cpu().numpy()
        assert snr_db(engine.synthesize(mel), expected) > (110 if precision == "fp32" else 40)
    assert engine._run.failure is None
