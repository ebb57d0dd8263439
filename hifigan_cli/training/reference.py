"""The training step as the paper's official code runs it: the yardstick, and its companion to read.

Plain networks, single precision, everything as section 2.4 has it, one line after another: four
passes of each discriminator, all of them with gradients. `step` does the same mathematics with less
work; tests and `hifigan bench train` hold the two against each other.
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
    """Trains the networks of a state by the official step, with optimizers of its own.

    The state's optimizers, step and moving average stay as they are.
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
        """Update all three networks by one batch, in place; return both losses.

        They are numbers: the official loop waits for them at each step.
        """
        loss_d = self.discriminators_turn(batch, mels)
        self.optimizer_d.step()
        loss_g = self.generators_turn(mels)
        self.optimizer_g.step()
        return loss_d.item(), loss_g.item()

    def discriminators_turn(self, batch: Batch, mels: MelTransforms) -> Tensor:
        """Compute the discriminators' loss (equation 1) and gradients; keep the samples."""
        mpd, msd = self.state.mpd, self.state.msd
        self._y = batch.samples.to(self.state.device)[:, None]  # (batch, 1, segment)
        input_mel = mels.input_mel(self._y[:, 0]) if batch.mels is None else batch.mels
        self._y_hat: Tensor = self.state.generator(input_mel.to(self.state.device))

        self.optimizer_d.zero_grad()
        y_hat = self._y_hat.detach()
        loss = discriminator_loss(mpd(self._y), mpd(y_hat))
        loss = loss + discriminator_loss(msd(self._y), msd(y_hat))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return loss

    def generators_turn(self, mels: MelTransforms) -> Tensor:
        """Compute the generator's loss (equations 2 to 7) and gradients, of the same samples."""
        train = self.state.config.train
        self.optimizer_g.zero_grad()
        loss = train.mel_weight * mel_loss(
            mels.full_band(self._y[:, 0]), mels.full_band(self._y_hat[:, 0])
        )
        for network in (self.state.mpd, self.state.msd):
            of_y, of_y_hat = network(self._y), network(self._y_hat)
            loss = loss + train.feature_weight * feature_loss(of_y, of_y_hat)
            loss = loss + adversarial_loss(of_y_hat)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return loss
