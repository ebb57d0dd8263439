"""One training step (paper section 2.4): the discriminators, then the generator, on the same batch.

The discriminators learn from the generator's output cut off from the graph; then, improved, they
judge the same output again, and through that judgement the generator learns.

The mathematics are `reference`'s; the networks run as `models.lean` arranges them. What is left
out changes no gradient: in the generator's turn the discriminators' parameters are constants, and
their view of the recording a mere target. Nothing here waits for the device.

Before `adversarial_from` there is no judge, and the generator learns by spectra alone.

With `accumulate` the batch goes through in pieces, whose gradients add up to the whole batch's (but
for one part of `spectral_loss`). The
discriminators learn from all pieces before the generator's turn begins; the generator then makes
its samples again, since keeping every piece's graph would take the memory that pieces are to spare.
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
    spectral_loss,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hifigan_cli.config import Config
    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.runtime.guard import Guard
    from hifigan_cli.training.state import TrainState


class Mels(NamedTuple):
    """The generator's input mel, and the mel up to Nyquist that loss and validation compare."""

    given: MelSpectrogram
    full: MelSpectrogram

    @classmethod
    def on(cls, config: Config, device: torch.device) -> Mels:
        """Build both on a device."""
        transforms = (MelSpectrogram(config.mel), MelSpectrogram(config.mel.full_band()))
        return cls(*(transform.to(device) for transform in transforms))


class Losses(NamedTuple):
    """What a step measured, each a tensor of one number that no one has waited for yet."""

    discriminator: Tensor
    generator: Tensor  # adversarial + weighted feature + weighted mel
    adversarial: Tensor
    feature: Tensor
    mel: Tensor
    discriminator_gradient: Tensor  # norm over all parameters
    generator_gradient: Tensor


class Piece(NamedTuple):
    """A part of the batch that goes through the networks at once."""

    real: Tensor  # (batch, 1, segment)
    given: Tensor  # (batch, mels, frames)
    share: float  # of the whole batch
    last: bool


def train_step(state: TrainState, batch: Batch, mels: Mels, guard: Guard) -> Losses:
    """Update all three networks by one batch, in place, and count the step.

    `guard` makes each of the two updates, or leaves it out where a gradient is not finite.
    """
    return update(state, cut(state, batch, mels), mels, guard)


def update(state: TrainState, pieces: list[Piece], mels: Mels, guard: Guard) -> Losses:
    """Make the step of a batch that is on the device already: what a CUDA graph can capture."""
    if state.step < state.config.train.adversarial_from:
        return _unjudged_step(state, pieces, mels, guard)
    # The generator runs once where its graph can be kept for its own turn.
    kept = generate(state, pieces[0]) if len(pieces) == 1 else None

    loss_d = discriminators_turn(state, pieces, kept)
    gradient_d = gradient_norm(state.optimizer_d)
    guard.update(state.optimizer_d, gradient_d)

    loss_g, adversarial, feature, mel = generators_turn(state, pieces, kept, mels).unbind()
    gradient_g = gradient_norm(state.optimizer_g)
    guard.update(state.optimizer_g, gradient_g)
    guard.end_step()

    state.follow()
    state.step += 1
    return Losses(loss_d, loss_g, adversarial, feature, mel, gradient_d, gradient_g)


def _unjudged_step(state: TrainState, pieces: list[Piece], mels: Mels, guard: Guard) -> Losses:
    """Update the generator alone, by spectra: before the discriminators join."""
    state.optimizer_g.zero_grad()
    total, mel = torch.zeros(2, device=state.device).unbind()
    for piece in pieces:
        with synchronised(state.forward["generator"], now=piece.last):
            fake = generate(state, piece)
            loss, error = likeness(state, piece, fake, mels)
            torch.autograd.backward(piece.share * loss)
        total, mel = total + piece.share * loss.detach(), mel + piece.share * error.detach()
    gradient = gradient_norm(state.optimizer_g)
    guard.update(state.optimizer_g, gradient)
    guard.end_step()
    state.follow()
    state.step += 1
    none = torch.zeros((), device=state.device)
    return Losses(none, total, none, none, mel, none, gradient)


def discriminators_turn(state: TrainState, pieces: list[Piece], kept: Tensor | None) -> Tensor:
    """Compute the discriminators' loss and gradients over the batch: real to 1, fake to 0."""
    judges = state.forward["judges"]
    vectors = state.judges.vectors()
    state.optimizer_d.zero_grad()
    total = torch.zeros((), device=state.device)
    for piece in pieces:
        fake = remake(state, piece) if kept is None else kept.detach()
        with synchronised(judges, now=piece.last):
            with precision(state):
                judged_real, judged_fake = judges(piece.real, fake, vectors)
            loss = piece.share * discriminator_loss(judged_real, judged_fake)
            torch.autograd.backward(loss)
        total += loss.detach()
    return total


def generators_turn(
    state: TrainState, pieces: list[Piece], kept: Tensor | None, mels: Mels
) -> Tensor:
    """Compute the generator's loss and gradients over the batch, judged by what the judges are now.

    Returns:
        Four numbers: the whole loss; then its parts, unweighted: adversarial, feature, mel.
    """
    train = state.config.train
    vectors = state.judges.vectors()
    state.optimizer_g.zero_grad()
    totals = torch.zeros(4, device=state.device)
    for piece in pieces:
        with synchronised(state.forward["generator"], now=piece.last):
            fake = generate(state, piece) if kept is None else kept
            with precision(state):
                judged_real, judged_fake = state.compare(piece.real, fake, vectors)
            adversarial = adversarial_loss(judged_fake)
            feature = feature_loss(judged_real, judged_fake)
            alike, mel = likeness(state, piece, fake, mels)
            loss = adversarial + train.feature_weight * feature + alike
            torch.autograd.backward(piece.share * loss)
        totals += piece.share * torch.stack([loss, adversarial, feature, mel]).detach()
    return totals


def likeness(state: TrainState, piece: Piece, fake: Tensor, mels: Mels) -> tuple[Tensor, Tensor]:
    """Return the loss that needs no judge, weighted, and the mel's part in it, unweighted."""
    train, real = state.config.train, piece.real[:, 0]
    mel = mel_loss(mels.full(real), mels.full(fake[:, 0]))
    loss = train.mel_weight * mel
    if train.spectral_weight:
        loss = loss + train.spectral_weight * spectral_loss(real, fake[:, 0])
    return loss, mel


def cut(state: TrainState, batch: Batch, mels: Mels) -> list[Piece]:
    """Bring a batch to the device, in as many pieces as the configuration says."""
    samples = to_device(batch.samples, state.device)  # (batch, segment)
    given = mels.given(samples) if batch.mels is None else to_device(batch.mels, state.device)
    count = state.config.train.accumulate
    parts = list(
        zip(samples.tensor_split(count), given.tensor_split(count), strict=True)  # near equal
    )
    return [
        Piece(part[:, None], mel, len(part) / len(samples), place == count - 1)
        for place, (part, mel) in enumerate(parts)
    ]


def generate(state: TrainState, piece: Piece) -> Tensor:
    """Make samples `(batch, 1, segment)` with a graph that leads to the generator."""
    with precision(state):
        fake: Tensor = state.forward["generator"](piece.given)
    return single(fake)


@torch.no_grad()
def remake(state: TrainState, piece: Piece) -> Tensor:
    """Make the same samples without a graph."""
    with precision(state):
        fake: Tensor = state.maker(piece.given)
    return single(fake)


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """Return the norm of the gradients of all the optimiser's parameters."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)


def synchronised(network: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Let several processes exchange gradients only with the last piece of a batch."""
    if isinstance(network, DistributedDataParallel) and not now:
        waiting: AbstractContextManager[None] = network.no_sync()
        return waiting
    return nullcontext()


def precision(state: TrainState) -> torch.autocast:
    """Return the context in which the networks run: bfloat16 if the configuration says so."""
    wanted = state.config.train.precision == "bf16"
    return torch.autocast(state.device.type, torch.bfloat16, enabled=wanted)
