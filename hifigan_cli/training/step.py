"""One training step (paper section 2.4): the discriminators, then the generator, on the same batch.

The discriminators are updated with the detached output of the generator. The updated discriminators
then score the same output again, and the generator is updated with these scores.

The mathematics are those of `reference`; the networks run in the form of `models.optimized`. The
omitted work changes no gradient: in the generator's step the discriminators' parameters are
constants, and their feature maps of the recording are only a target. Nothing here synchronizes with
the device.

Before `adversarial_start` only the generator is trained, with spectral losses.

With `micro_batches` the batch is processed in micro-batches whose gradients add up to those of the
batch (except for one part of `stft_loss`). The discriminators process all of them before the
generator does. The generator then runs a second time, because keeping all graphs would use the
memory that micro-batches save.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hifigan_cli.audio import MelSpectrogram
from hifigan_cli.data.gpu_dataset import to_device
from hifigan_cli.models.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    mel_loss,
    stft_loss,
    to_float32,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hifigan_cli.config import Config
    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
    from hifigan_cli.training.state import VocoderState


class MelTransforms(NamedTuple):
    """The input mel of the generator, and the mel up to Nyquist for loss and validation."""

    input_mel: MelSpectrogram
    full_band: MelSpectrogram


def mel_transforms(config: Config, device: torch.device) -> MelTransforms:
    """Build both mel transforms on a device."""
    transforms = (MelSpectrogram(config.mel), MelSpectrogram(config.mel.full_band()))
    return MelTransforms(*(transform.to(device) for transform in transforms))


class Losses(NamedTuple):
    """The losses of a step as scalar tensors on the device."""

    discriminator: Tensor
    generator: Tensor  # adversarial + weighted feature + weighted mel
    adversarial: Tensor
    feature: Tensor
    mel: Tensor
    discriminator_gradient: Tensor  # norm over all parameters
    generator_gradient: Tensor


class MicroBatch(NamedTuple):
    """A part of the batch that passes through the networks at once."""

    y: Tensor  # (batch, 1, segment), the recording
    input_mel: Tensor  # (batch, n_mels, frames)
    fraction: float  # share of the batch
    is_last: bool


def train_step(
    state: VocoderState, batch: Batch, mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Update all three networks in place with one batch, and count the step.

    `guard` performs both updates and skips those with non-finite gradients.
    """
    return train_on_micro_batches(state, to_micro_batches(state, batch, mels), mels, guard)


def train_on_micro_batches(
    state: VocoderState, micro_batches: list[MicroBatch], mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Perform a step on data that is already on the device; a CUDA graph can capture this."""
    adversarial = state.step >= state.config.train.adversarial_start
    losses = (_adversarial_step if adversarial else _stft_step)(state, micro_batches, mels, guard)
    guard.end_step()
    state.update_ema()
    state.step += 1
    return losses


def _adversarial_step(
    state: VocoderState, micro_batches: list[MicroBatch], mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Update the discriminators, then the generator."""
    y_hat = generate_once(state, micro_batches)

    loss_d = discriminator_backward(state, micro_batches, y_hat)
    gradient_d = gradient_norm(state.optimizer_d)
    guard.update(state.optimizer_d, gradient_d)

    loss_g, adversarial, feature, mel = generator_backward(
        state, micro_batches, y_hat, mels
    ).unbind()
    gradient_g = gradient_norm(state.optimizer_g)
    guard.update(state.optimizer_g, gradient_g)
    return Losses(loss_d, loss_g, adversarial, feature, mel, gradient_d, gradient_g)


def _stft_step(
    state: VocoderState, micro_batches: list[MicroBatch], mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Update only the generator, with spectral losses, before the adversarial training."""
    state.optimizer_g.zero_grad()
    total, mel = torch.zeros(2, device=state.device).unbind()
    for micro in micro_batches:
        with gradient_sync(state.step_networks["generator"], enabled=micro.is_last):
            y_hat = generate(state, micro)
            loss, error = reconstruction_loss(state, micro, y_hat, mels)
            torch.autograd.backward(micro.fraction * loss)
        total, mel = total + micro.fraction * loss.detach(), mel + micro.fraction * error.detach()
    gradient = gradient_norm(state.optimizer_g)
    guard.update(state.optimizer_g, gradient)
    zero = torch.zeros((), device=state.device)
    return Losses(zero, total, zero, zero, mel, zero, gradient)


def compute_gradients(
    state: VocoderState, batch: Batch, mels: MelTransforms
) -> tuple[Tensor, Tensor]:
    """Compute the losses and gradients of all networks without updating any weight."""
    micro_batches = to_micro_batches(state, batch, mels)
    y_hat = generate_once(state, micro_batches)
    loss_d = discriminator_backward(state, micro_batches, y_hat)
    return loss_d, generator_backward(state, micro_batches, y_hat, mels)


def generate_once(state: VocoderState, micro_batches: list[MicroBatch]) -> Tensor | None:
    """Return the generator's output for both backward passes, or None for several micro-batches."""
    return generate(state, micro_batches[0]) if len(micro_batches) == 1 else None


def discriminator_backward(
    state: VocoderState, micro_batches: list[MicroBatch], shared_y_hat: Tensor | None
) -> Tensor:
    """Compute the discriminator loss and gradients; the targets are 1 for `y` and 0 for `y_hat`."""
    discriminators = state.step_networks["discriminators"]
    vectors = state.optimized_discriminators.power_iteration()
    state.optimizer_d.zero_grad()
    total = torch.zeros((), device=state.device)
    for micro in micro_batches:
        y_hat = generate_detached(state, micro) if shared_y_hat is None else shared_y_hat.detach()
        with gradient_sync(discriminators, enabled=micro.is_last):
            with autocast(state):
                outputs_y, outputs_y_hat = discriminators(micro.y, y_hat, vectors)
            loss = micro.fraction * discriminator_loss(outputs_y, outputs_y_hat)
            torch.autograd.backward(loss)
        total += loss.detach()
    return total


def generator_backward(
    state: VocoderState,
    micro_batches: list[MicroBatch],
    shared_y_hat: Tensor | None,
    mels: MelTransforms,
) -> Tensor:
    """Compute the generator loss and gradients with the current discriminators.

    Returns:
        The total loss and its unweighted parts: adversarial, feature, mel. Shape: `(4,)`.
    """
    train = state.config.train
    vectors = state.optimized_discriminators.power_iteration()
    state.optimizer_g.zero_grad()
    totals = torch.zeros(4, device=state.device)
    for micro in micro_batches:
        with gradient_sync(state.step_networks["generator"], enabled=micro.is_last):
            y_hat = generate(state, micro) if shared_y_hat is None else shared_y_hat
            with autocast(state):
                outputs_y, outputs_y_hat = state.forward_generator_step(micro.y, y_hat, vectors)
            adversarial = adversarial_loss(outputs_y_hat)
            feature = feature_loss(outputs_y, outputs_y_hat)
            reconstruction, mel = reconstruction_loss(state, micro, y_hat, mels)
            loss = adversarial + train.feature_weight * feature + reconstruction
            torch.autograd.backward(micro.fraction * loss)
        totals += micro.fraction * torch.stack([loss, adversarial, feature, mel]).detach()
    return totals


def reconstruction_loss(
    state: VocoderState, micro: MicroBatch, y_hat: Tensor, mels: MelTransforms
) -> tuple[Tensor, Tensor]:
    """Return the weighted spectral loss, and the unweighted mel loss."""
    train, y = state.config.train, micro.y[:, 0]
    mel = mel_loss(mels.full_band(y), mels.full_band(y_hat[:, 0]))
    loss = train.mel_weight * mel
    if train.stft_weight:
        loss = loss + train.stft_weight * stft_loss(y, y_hat[:, 0])
    return loss, mel


def to_micro_batches(state: VocoderState, batch: Batch, mels: MelTransforms) -> list[MicroBatch]:
    """Move a batch to the device and split it into the configured number of micro-batches."""
    samples = to_device(batch.samples, state.device)  # (batch, segment)
    input_mel = (
        mels.input_mel(samples) if batch.mels is None else to_device(batch.mels, state.device)
    )
    count = state.config.train.micro_batches
    parts = zip(samples.tensor_split(count), input_mel.tensor_split(count), strict=True)
    return [
        MicroBatch(part[:, None], mel, len(part) / len(samples), index == count - 1)
        for index, (part, mel) in enumerate(parts)
    ]


def generate(state: VocoderState, micro: MicroBatch) -> Tensor:
    """Generate samples `(batch, 1, segment)` with gradients."""
    with autocast(state):
        y_hat: Tensor = state.step_networks["generator"](micro.input_mel)
    return to_float32(y_hat)


@torch.no_grad()
def generate_detached(state: VocoderState, micro: MicroBatch) -> Tensor:
    """Generate the same samples without gradients."""
    with autocast(state):
        y_hat: Tensor = state.optimized_generator(micro.input_mel)
    return to_float32(y_hat)


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """Return the norm of the gradients of all the optimizer's parameters."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)


def gradient_sync(network: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
    """Return a context that lets distributed processes average their gradients, if enabled."""
    if isinstance(network, DistributedDataParallel) and not enabled:
        no_sync: AbstractContextManager[None] = network.no_sync()
        return no_sync
    return nullcontext()


def autocast(state: VocoderState) -> torch.autocast:
    """Return the autocast context of the networks: bfloat16 if configured."""
    bf16 = state.config.train.precision == "bf16"
    return torch.autocast(state.device.type, torch.bfloat16, enabled=bf16)
