"""torch.compile: a compiled step is equal, and a failed compilation changes nothing.

The backend in these tests runs the graphs uncompiled, so no C++ compiler is needed.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from hifigan_cli.training.compiling import compile_networks
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from hifigan_cli.training.validation import ValidationItem, generate_clip
from tests.training import small
from tests.training.runs import CPU, noise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # raised in torch's compiler
    pytest.mark.usefixtures("small_discriminators"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_step_is_equal_and_validation_is_not_compiled(precision: str) -> None:
    """Check that a compiled step gives the same result, and that clip lengths do not recompile."""
    plain, compiled = (
        VocoderState(small.config(compile=choice, precision=precision), CPU)
        for choice in (False, True)
    )
    mels, guard = mel_transforms(plain.config, CPU), NonfiniteGuard(CPU)
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    assert compile_networks(compiled, noise(), mels, pytest.fail, backend)
    count = len(graphs)
    assert count >= 3  # generator, discriminators, and their comparison
    losses, expected = (train_step(state, noise(), mels, guard) for state in (compiled, plain))
    torch.testing.assert_close(torch.stack(losses), torch.stack(expected), rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        for samples in (2000, 3000, 4100):
            generate_clip(compiled, ValidationItem("clip", torch.randn(samples) / 9, None), mels)
    assert len(graphs) == count


def test_failed_compilation_leaves_training_unchanged() -> None:
    """Check that without a compiler there is one warning, and weights and vectors stay equal."""
    state = VocoderState(small.config(compile=True), CPU)
    before = copy.deepcopy([network.state_dict() for network in (state.generator, state.msd)])

    def backend(*_: Any) -> Any:
        raise RuntimeError("no compiler\nat all")

    messages: list[str] = []
    mels = mel_transforms(state.config, CPU)
    assert not compile_networks(state, noise(), mels, messages.append, backend)
    assert len(messages) == 1
    assert "torch.compile" in messages[0]
    assert "RuntimeError: no compiler" in messages[0]
    after = [network.state_dict() for network in (state.generator, state.msd)]
    for old, new in zip(before, after, strict=True):
        assert all(torch.equal(value, new[key]) for key, value in old.items())
    plain = VocoderState(small.config(), CPU)
    losses, expected = (train_step(s, noise(), mels, NonfiniteGuard(CPU)) for s in (state, plain))
    assert torch.equal(torch.stack(losses), torch.stack(expected))
