"""The reference training step, which follows the official code.

It uses the plain networks in single precision and computes section 2.4 of the paper line by line:
each discriminator runs four times, always with gradients. `step` computes the same with less work;
tests and `hifigan bench train` compare the two.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from hifigan_cli.models.losses import adversarial_loss, discriminator_loss, feature_loss, mel_loss

if TYPE_CHECKING:
    from torch import Tensor

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms


class ReferenceStep:
    """Trains the networks of a state with the official step and separate optimizers.

    It does not change the state's optimizers, step or EMA.
    """

    def __init__(self, state: VocoderState) -> None:
        self.state = state
        train = state.config.train
        adamw = partial(
            torch.optim.AdamW,
            lr=train.learning_rate,
            betas=train.adam_betas,
            weight_decay=train.weight_decay,
        )
        self.optimizer_g = adamw(state.generator.parameters())
        self.optimizer_d = adamw([*state.mpd.parameters(), *state.msd.parameters()])

    def __call__(self, batch: Batch, mels: MelTransforms) -> tuple[float, float]:
        """Update all three networks in place with one batch; return both losses.

        They are Python numbers, because the official loop synchronizes at each step.
        """
        loss_d = self.discriminator_backward(batch, mels)
        self.optimizer_d.step()
        loss_g = self.generator_backward(mels)
        self.optimizer_g.step()
        return loss_d.item(), loss_g.item()

    def discriminator_backward(self, batch: Batch, mels: MelTransforms) -> Tensor:
        """Compute the discriminator loss (equation 1) and gradients; store `y` and `y_hat`."""
        mpd, msd = self.state.mpd, self.state.msd
        self._y = batch.samples.to(self.state.device)[:, None]  # (batch, 1, segment)
        input_mel = mels.input_mel(self._y[:, 0]) if batch.mels is None else batch.mels
        self._y_hat: Tensor = self.state.generator(input_mel.to(self.state.device))

        self.optimizer_d.zero_grad()
        y_hat = self._y_hat.detach()
        loss = discriminator_loss(mpd(self._y), mpd(y_hat))
        loss = loss + discriminator_loss(msd(self._y), msd(y_hat))
        loss.backward()  # type: ignore[no-untyped-call]  # unannotated in torch
        return loss

    def generator_backward(self, mels: MelTransforms) -> Tensor:
        """Compute the generator loss (equations 2 to 7) and gradients for the stored `y_hat`."""
        train = self.state.config.train
        self.optimizer_g.zero_grad()
        loss = train.mel_weight * mel_loss(
            mels.full_band(self._y[:, 0]), mels.full_band(self._y_hat[:, 0])
        )
        for network in (self.state.mpd, self.state.msd):
            outputs_y, outputs_y_hat = network(self._y), network(self._y_hat)
            loss = loss + train.feature_weight * feature_loss(outputs_y, outputs_y_hat)
            loss = loss + adversarial_loss(outputs_y_hat)
        loss.backward()  # type: ignore[no-untyped-call]  # unannotated in torch
        return loss
