"""torch.compile for the networks of a step: fewer, larger kernels, where it works.

What it gains depends on the device, and whether it works on what is installed there: a C++ compiler
or Triton. So both turns of a step are tried before the first step. Where that fails the networks
stay as they are, with a warning. The trial moves no weight and no spectral vector.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.training.step import both_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms


def compile_networks(
    state: VocoderState,
    batch: Batch,
    mels: MelTransforms,
    warn: Callable[[str], None],
    backend: str | Callable[..., Any] = "inductor",
) -> bool:
    """Compile the networks if that works; return whether it did.

    `warn` gets the reason why it did not. `batch` is for the trial, of the size of all that follow.
    """
    vectors = copy.deepcopy(state.msd.state_dict())
    networks = state.optimized_generator, state.optimized_discriminators
    try:
        for network in networks:
            network.compile(backend=backend)
        state.compare = torch.compile(state.optimized_discriminators.compare, backend=backend)
        both_turns(state, batch, mels)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, none of them ours
        for network in networks:
            network._compiled_call_impl = None
        state.compare = state.optimized_discriminators.compare
        summary = str(error).strip().partition("\n")[0]
        warn(f"torch.compile failed, going on without: {type(error).__name__}: {summary}")
        return False
    finally:
        state.msd.load_state_dict(vectors)
        state.zero_grad()
    return True
