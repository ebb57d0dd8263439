"""One training step (paper section 2.4): the discriminators, then the generator, on the same batch.

The discriminators learn from the generator's output, detached from its graph. Then, improved, they
score the same output again, and through these scores the generator learns.

The mathematics are those of `reference`; the networks run as `models.optimized` arranges them. What
is left out changes no gradient: in the generator's turn the discriminators' parameters are
constants, and their features of the recording a mere target. Nothing here waits for the device.

Before `adversarial_start` there are no discriminators, and the generator learns from spectra.

With `accumulate` the batch goes through in micro-batches, whose gradients add up to the batch's
(except for one part of `stft_loss`). The discriminators learn from all of them before the
generator's turn begins. The generator then runs a second time, since keeping every graph would
take the memory that micro-batches are to spare.
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
    single,
    stft_loss,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hifigan_cli.config import Config
    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
    from hifigan_cli.training.state import VocoderState


class MelTransforms(NamedTuple):
    """The generator's input mel, and the mel up to Nyquist that loss and validation compare."""

    input_mel: MelSpectrogram
    full_band: MelSpectrogram


def mel_transforms(config: Config, device: torch.device) -> MelTransforms:
    """Build both transforms on a device."""
    transforms = (MelSpectrogram(config.mel), MelSpectrogram(config.mel.full_band()))
    return MelTransforms(*(transform.to(device) for transform in transforms))


class Losses(NamedTuple):
    """The losses of a step, each a tensor of one number that nothing has waited for yet."""

    discriminator: Tensor
    generator: Tensor  # adversarial + weighted feature + weighted mel
    adversarial: Tensor
    feature: Tensor
    mel: Tensor
    discriminator_gradient: Tensor  # norm over all parameters
    generator_gradient: Tensor


class MicroBatch(NamedTuple):
    """A part of the batch that goes through the networks at once."""

    y: Tensor  # (batch, 1, segment), the recording
    input_mel: Tensor  # (batch, n_mels, frames)
    share: float  # of the batch
    last: bool


def train_step(
    state: VocoderState, batch: Batch, mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Update all three networks by one batch, in place, and count the step.

    `guard` makes each of the two updates, or skips it where a gradient is not finite.
    """
    return update(state, to_micro_batches(state, batch, mels), mels, guard)


def update(
    state: VocoderState, micros: list[MicroBatch], mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Make the step of a batch that is on the device already: what a CUDA graph can capture."""
    adversarial = state.step >= state.config.train.adversarial_start
    losses = (_adversarial_step if adversarial else _stft_step)(state, micros, mels, guard)
    guard.end_step()
    state.update_ema()
    state.step += 1
    return losses


def _adversarial_step(
    state: VocoderState, micros: list[MicroBatch], mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Update the discriminators, then the generator."""
    kept = keep_generated(state, micros)

    loss_d = discriminators_turn(state, micros, kept)
    gradient_d = gradient_norm(state.optimizer_d)
    guard.update(state.optimizer_d, gradient_d)

    loss_g, adversarial, feature, mel = generators_turn(state, micros, kept, mels).unbind()
    gradient_g = gradient_norm(state.optimizer_g)
    guard.update(state.optimizer_g, gradient_g)
    return Losses(loss_d, loss_g, adversarial, feature, mel, gradient_d, gradient_g)


def _stft_step(
    state: VocoderState, micros: list[MicroBatch], mels: MelTransforms, guard: NonfiniteGuard
) -> Losses:
    """Update only the generator, by spectra, before the discriminators join."""
    state.optimizer_g.zero_grad()
    total, mel = torch.zeros(2, device=state.device).unbind()
    for micro in micros:
        with synchronized(state.forward["generator"], now=micro.last):
            y_hat = generate(state, micro)
            loss, error = reconstruction_loss(state, micro, y_hat, mels)
            torch.autograd.backward(micro.share * loss)
        total, mel = total + micro.share * loss.detach(), mel + micro.share * error.detach()
    gradient = gradient_norm(state.optimizer_g)
    guard.update(state.optimizer_g, gradient)
    none = torch.zeros((), device=state.device)
    return Losses(none, total, none, none, mel, none, gradient)


def both_turns(state: VocoderState, batch: Batch, mels: MelTransforms) -> tuple[Tensor, Tensor]:
    """Compute the losses and gradients of both turns at the same weights: nothing is updated."""
    micros = to_micro_batches(state, batch, mels)
    kept = keep_generated(state, micros)
    loss_d = discriminators_turn(state, micros, kept)
    return loss_d, generators_turn(state, micros, kept, mels)


def keep_generated(state: VocoderState, micros: list[MicroBatch]) -> Tensor | None:
    """Run the generator once for both turns where its graph can be kept for its own turn."""
    return generate(state, micros[0]) if len(micros) == 1 else None


def discriminators_turn(
    state: VocoderState, micros: list[MicroBatch], kept: Tensor | None
) -> Tensor:
    """Compute the discriminators' loss and gradients over the batch: `y` to 1, `y_hat` to 0."""
    discriminators = state.forward["discriminators"]
    vectors = state.optimized_discriminators.vectors()
    state.optimizer_d.zero_grad()
    total = torch.zeros((), device=state.device)
    for micro in micros:
        y_hat = generate_detached(state, micro) if kept is None else kept.detach()
        with synchronized(discriminators, now=micro.last):
            with precision(state):
                of_y, of_y_hat = discriminators(micro.y, y_hat, vectors)
            loss = micro.share * discriminator_loss(of_y, of_y_hat)
            torch.autograd.backward(loss)
        total += loss.detach()
    return total


def generators_turn(
    state: VocoderState, micros: list[MicroBatch], kept: Tensor | None, mels: MelTransforms
) -> Tensor:
    """Compute the generator's loss and gradients, against the discriminators as they are now.

    Returns:
        Four numbers: the total loss; then its parts, unweighted: adversarial, feature, mel.
    """
    train = state.config.train
    vectors = state.optimized_discriminators.vectors()
    state.optimizer_g.zero_grad()
    totals = torch.zeros(4, device=state.device)
    for micro in micros:
        with synchronized(state.forward["generator"], now=micro.last):
            y_hat = generate(state, micro) if kept is None else kept
            with precision(state):
                of_y, of_y_hat = state.compare(micro.y, y_hat, vectors)
            adversarial = adversarial_loss(of_y_hat)
            feature = feature_loss(of_y, of_y_hat)
            reconstruction, mel = reconstruction_loss(state, micro, y_hat, mels)
            loss = adversarial + train.feature_weight * feature + reconstruction
            torch.autograd.backward(micro.share * loss)
        totals += micro.share * torch.stack([loss, adversarial, feature, mel]).detach()
    return totals


def reconstruction_loss(
    state: VocoderState, micro: MicroBatch, y_hat: Tensor, mels: MelTransforms
) -> tuple[Tensor, Tensor]:
    """Return the weighted loss on spectra, and the mel's part in it, unweighted."""
    train, y = state.config.train, micro.y[:, 0]
    mel = mel_loss(mels.full_band(y), mels.full_band(y_hat[:, 0]))
    loss = train.mel_weight * mel
    if train.stft_weight:
        loss = loss + train.stft_weight * stft_loss(y, y_hat[:, 0])
    return loss, mel


def to_micro_batches(state: VocoderState, batch: Batch, mels: MelTransforms) -> list[MicroBatch]:
    """Bring a batch to the device, in as many micro-batches as the configuration says."""
    samples = to_device(batch.samples, state.device)  # (batch, segment)
    input_mel = (
        mels.input_mel(samples) if batch.mels is None else to_device(batch.mels, state.device)
    )
    count = state.config.train.accumulate
    parts = zip(samples.tensor_split(count), input_mel.tensor_split(count), strict=True)
    return [
        MicroBatch(part[:, None], mel, len(part) / len(samples), place == count - 1)
        for place, (part, mel) in enumerate(parts)
    ]


def generate(state: VocoderState, micro: MicroBatch) -> Tensor:
    """Generate samples `(batch, 1, segment)` with a graph that leads to the generator."""
    with precision(state):
        y_hat: Tensor = state.forward["generator"](micro.input_mel)
    return single(y_hat)


@torch.no_grad()
def generate_detached(state: VocoderState, micro: MicroBatch) -> Tensor:
    """Generate the same samples without a graph."""
    with precision(state):
        y_hat: Tensor = state.optimized_generator(micro.input_mel)
    return single(y_hat)


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """Return the norm of the gradients of all the optimizer's parameters."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)


def synchronized(network: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Let several processes exchange gradients only with the last micro-batch."""
    if isinstance(network, DistributedDataParallel) and not now:
        waiting: AbstractContextManager[None] = network.no_sync()
        return waiting
    return nullcontext()


def precision(state: VocoderState) -> torch.autocast:
    """Return the context in which the networks run: bfloat16 if the configuration says so."""
    wanted = state.config.train.precision == "bf16"
    return torch.autocast(state.device.type, torch.bfloat16, enabled=wanted)
