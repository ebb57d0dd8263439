"""Chunks give the samples of the whole, whatever the sizes, and never run short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig
from hifigan_cli.errors import DeviceError
from hifigan_cli.models import Generator
from hifigan_cli.synthesis import chunks
from hifigan_cli.synthesis.chunks import synthesize_stream
from tests.models_for_tests import tiny_generator

SHAPES = {
    "tiny": None,
    "block 2": GeneratorConfig(
        resblock=2,
        upsample_rates=(4, 2),
        upsample_kernel_sizes=(8, 6),
        upsample_initial_channel=8,
        resblock_kernel_sizes=(3, 5),
        resblock_dilation_sizes=((1, 2), (2, 6)),
    ),
}


def generator_of(shape: str, seed: int) -> Generator:
    """Make a double-precision generator: there, only the mathematics can differ."""
    config = SHAPES[shape]
    net = tiny_generator(seed) if config is None else tiny_generator(seed, config)
    return net.double().eval()


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    seed=st.integers(0, 3),
    frames=st.integers(1, 120),
    chunk=st.integers(1, 40),
    block=st.integers(1, 60),
    batch=st.integers(1, 2),
)
def test_chunks_equal_the_whole(
    shape: str, seed: int, frames: int, chunk: int, block: int, batch: int
) -> None:
    """Any length, cut any way, gives the whole's samples to the last digit of doubles."""
    net = generator_of(shape, seed)
    mel = torch.randn(batch, 80, frames, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        whole = net(mel)[:, 0]
    pieces = list(synthesize_stream(net, torch.split(mel, block, dim=-1), chunk))
    assert torch.cat(pieces, dim=-1).shape == whole.shape
    assert (torch.cat(pieces, dim=-1) - whole).abs().max() < 1e-12


def test_too_little_context_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: one frame of context less changes samples at the seams."""
    net = generator_of("tiny", 0)
    mel = torch.randn(1, 80, 60, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        whole = net(mel)[:, 0]
    true_context = net.context_frames
    monkeypatch.setattr(Generator, "context_frames", true_context - 1)
    cut = torch.cat(list(synthesize_stream(net, [mel], 10)), dim=-1)
    assert (cut - whole).abs().max() > 1e-9


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_presets_in_single_precision(name: str) -> None:
    """The paper's generators agree with the whole within 1e-5 over several chunks."""
    torch.manual_seed(7)
    net = Generator(PRESETS[name].generator, weight_norm=False).eval()
    frames = 120 if name == "v1" else 240
    mel = torch.randn(1, 80, frames) * 2 - 5
    with torch.no_grad():
        whole = net(mel)[:, 0]
    pieces = torch.cat(list(synthesize_stream(net, [mel], frames // 4)), dim=-1)
    assert (pieces - whole).abs().max() < 1e-5


def test_samples_come_before_the_mel_ends() -> None:
    """A stream is answered while it runs, and memory holds a few chunks, not the length."""
    net = tiny_generator()
    taken = 0

    def frames() -> Iterator[torch.Tensor]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield torch.randn(1, 80, 1)

    stream = synthesize_stream(net, frames(), 16)
    next(stream)
    assert taken <= 2 * 16 + net.context_frames


def test_nothing_in_nothing_out() -> None:
    """An empty stream of mel gives no samples and no error."""
    net = tiny_generator()
    assert list(synthesize_stream(net, [])) == []
    assert list(synthesize_stream(net, [torch.zeros(1, 80, 0)])) == []


def test_out_of_memory_halves_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device too small for a chunk gets smaller ones, and the result is the same."""
    net = generator_of("tiny", 1)
    mel = torch.randn(1, 80, 300, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        whole = net(mel)[:, 0]
    run = chunks._run

    def small_device(generator: Generator, part: torch.Tensor) -> torch.Tensor:
        if part.shape[-1] > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(generator, part)

    monkeypatch.setattr(chunks, "_run", small_device)
    told: list[int] = []
    pieces = list(synthesize_stream(net, [mel], 100, told.append))
    assert told == [50, 25]
    assert (torch.cat(pieces, dim=-1) - whole).abs().max() < 1e-12


def test_a_device_that_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the smallest chunk does not fit either, the error says so."""

    def no_device(_generator: Generator, _part: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(chunks, "_run", no_device)
    with pytest.raises(DeviceError, match="smallest chunk"):
        list(synthesize_stream(tiny_generator(), [torch.zeros(1, 80, 200)], 64))
