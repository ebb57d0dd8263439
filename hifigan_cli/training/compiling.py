"""Compile the networks of a step with torch.compile, which gives fewer and larger kernels.

The gain depends on the device. torch.compile needs a C++ compiler or Triton, so all gradients of a
step are computed once before the first step. If that fails, the networks stay uncompiled and a
warning is reported. The trial changes neither weights nor the vectors of spectral norm.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.training.step import compute_gradients

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
    """Compile the networks and return whether that worked.

    If it failed, `warn` receives the reason. The trial uses `batch`, which must have the size of
    all later batches.
    """
    vectors = copy.deepcopy(state.msd.state_dict())
    networks = state.optimized_generator, state.optimized_discriminators
    try:
        for network in networks:
            network.compile(backend=backend)
        state.forward_generator_step = torch.compile(
            state.optimized_discriminators.forward_generator_step, backend=backend
        )
        compute_gradients(state, batch, mels)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways
        for network in networks:
            network._compiled_call_impl = None
        state.forward_generator_step = state.optimized_discriminators.forward_generator_step
        summary = " ".join(str(error).strip().splitlines()[:2])  # a backend's error is on line 2
        warn(f"torch.compile failed, training uncompiled: {type(error).__name__}: {summary}")
        return False
    finally:
        state.msd.load_state_dict(vectors)
        state.zero_grad()
    return True
