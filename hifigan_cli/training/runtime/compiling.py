"""torch.compile for the networks of a step: fewer, larger kernels, where it works.

What it gains depends on the device, and whether it works on what is installed there: a C++ compiler
or Triton. So a step's turns are rehearsed before the first step; where that fails the networks stay
as they are, and a notice says so. No weight and no vector is moved by the rehearsal.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.training.step import cut, discriminators_turn, generate, generators_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.state import TrainState
    from hifigan_cli.training.step import Mels


def compile_networks(
    state: TrainState,
    batch: Batch,
    mels: Mels,
    warn: Callable[[str], None],
    backend: str | Callable[..., Any] = "inductor",
) -> bool:
    """Compile the networks if the configuration says so and it works; return whether it did.

    `warn` hears why it did not work. `batch` is rehearsed on, and has the size of all that follow.
    """
    if not state.config.train.compile:
        return False
    vectors = copy.deepcopy(state.msd.state_dict())
    try:
        state.maker.compile(backend=backend)
        state.judges.compile(backend=backend)
        state.compare = torch.compile(state.judges.compare, backend=backend)
        _rehearse(state, batch, mels)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, none of them ours
        for network in (state.maker, state.judges):
            network._compiled_call_impl = None
        state.compare = state.judges.compare
        summary = str(error).strip().partition("\n")[0]
        warn(f"torch.compile failed, going on without: {type(error).__name__}: {summary}")
        return False
    finally:
        state.msd.load_state_dict(vectors)
        for network in (state.generator, state.mpd, state.msd):
            network.zero_grad()
    return True


def _rehearse(state: TrainState, batch: Batch, mels: Mels) -> None:
    """Go through both turns, the backward passes included, without an update."""
    pieces = cut(state, batch, mels)
    kept = generate(state, pieces[0]) if len(pieces) == 1 else None
    discriminators_turn(state, pieces, kept)
    generators_turn(state, pieces, kept, mels)
