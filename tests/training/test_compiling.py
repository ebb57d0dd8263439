"""torch.compile: the same step, nothing but the step, and no harm where it fails.

The backend here runs what it is given as it is, so that no compiler of C++ is needed.
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
from hifigan_cli.training.validation import Utterance, generate_clip
from tests.training import small
from tests.training.runs import CPU, noise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # the compiler's own
    pytest.mark.usefixtures("small_discriminators"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_step_is_the_same_and_validation_is_not_compiled(precision: str) -> None:
    """Protects training on GPUs, which compiles by default, from another result, and from being
    compiled anew for each length of a clip."""
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
    seen = len(graphs)
    assert seen >= 3  # generator, both discriminators, and their comparison
    ours, theirs = (train_step(state, noise(), mels, guard) for state in (compiled, plain))
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        for samples in (2000, 3000, 4100):
            generate_clip(compiled, Utterance("clip", torch.randn(samples) / 9, None), mels)
    assert len(graphs) == seen


def test_where_it_fails_training_goes_on_as_it_was() -> None:
    """Protects runs on machines without a compiler: a word, and no weight or vector is moved."""
    state = VocoderState(small.config(compile=True), CPU)
    before = copy.deepcopy([network.state_dict() for network in (state.generator, state.msd)])

    def backend(*_: Any) -> Any:
        raise RuntimeError("no compiler\nat all")

    words: list[str] = []
    mels = mel_transforms(state.config, CPU)
    assert not compile_networks(state, noise(), mels, words.append, backend)
    assert len(words) == 1
    assert "going on without" in words[0]
    after = [network.state_dict() for network in (state.generator, state.msd)]
    for one, other in zip(before, after, strict=True):
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    untouched = VocoderState(small.config(), CPU)
    ours, theirs = (
        train_step(each, noise(), mels, NonfiniteGuard(CPU)) for each in (state, untouched)
    )
    assert torch.equal(torch.stack(ours), torch.stack(theirs))
