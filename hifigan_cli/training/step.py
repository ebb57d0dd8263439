"""One training step (paper section 2.4): the discriminators, then the generator, on the same batch.

The generator runs once. The discriminators learn from its output cut off from the graph; then,
improved, they judge the same output again, and through that judgement the generator learns. In its
turn their parameters take no gradients, and their view of the recording is a mere target.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from hifigan_cli.audio import MelSpectrogram
from hifigan_cli.models.losses import adversarial_loss, discriminator_loss, feature_loss, mel_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.config import Config
    from hifigan_cli.data.batches import Batch
    from hifigan_cli.models.discriminators import Judgement
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


def train_step(state: TrainState, batch: Batch, mels: Mels, guard: Guard) -> Losses:
    """Update all three networks by one batch, in place, and count the step.

    `guard` sees the losses and gradient norms before each of the two updates.
    """
    train = state.config.train
    samples = batch.samples.to(state.device, non_blocking=True)  # (batch, segment)
    given = mels.given(samples) if batch.mels is None else batch.mels.to(state.device)
    real = samples[:, None]
    with precision(state):
        fake = state.forward["generator"](given)  # (batch, 1, segment)
    fake = fake.float()

    # Discriminators: real to 1, fake to 0.
    with precision(state):
        judged_real = judge(state.forward, real)
        judged_fake = judge(state.forward, fake.detach())
    loss_d = discriminator_loss(judged_real, judged_fake)
    gradient_d = backward(loss_d, state.optimizer_d)
    guard(state.step, loss_d, gradient_d)
    state.optimizer_d.step()

    # Generator: fake to 1, in the eyes of the discriminators as they are now.
    networks = {"mpd": state.mpd, "msd": state.msd}
    with frozen(*networks.values()):
        with precision(state):
            with torch.no_grad():
                judged_real = judge(networks, real)
            judged_fake = judge(networks, fake)
        adversarial = adversarial_loss(judged_fake)
        feature = feature_loss(judged_real, judged_fake)
        mel = mel_loss(mels.full(samples), mels.full(fake[:, 0]))
        loss_g = adversarial + train.feature_weight * feature + train.mel_weight * mel
        gradient_g = backward(loss_g, state.optimizer_g)
    guard(state.step, loss_g, gradient_g)
    state.optimizer_g.step()

    state.follow()
    state.step += 1
    seen = (loss_d, loss_g, adversarial, feature, mel, gradient_d, gradient_g)
    return Losses(*(value.detach() for value in seen))


def judge(networks: dict[str, nn.Module], samples: Tensor) -> list[Judgement]:
    """Let all sub-discriminators, of periods and of scales, judge `(batch, 1, samples)`."""
    return [*networks["mpd"](samples), *networks["msd"](samples)]


def backward(loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """Compute fresh gradients of the optimiser's parameters; return their norm."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    return torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Keep gradients out of the networks' parameters, not out of their inputs."""
    for network in networks:
        network.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(requires_grad=True)


def precision(state: TrainState) -> torch.autocast:
    """Return the context in which the networks run: bfloat16 if the configuration says so."""
    wanted = state.config.train.precision == "bf16"
    return torch.autocast(state.device.type, torch.bfloat16, enabled=wanted)
