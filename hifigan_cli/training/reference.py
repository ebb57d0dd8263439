"""The training step as the paper's official code runs it: the yardstick, and its companion to read.

Plain networks, single precision, everything as section 2.4 has it, one line after another: four
passes of each discriminator, all of them with gradients. `step` does the same mathematics with less
work; tests and `hifigan bench train` hold the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from hifigan_cli.models.losses import adversarial_loss, discriminator_loss, feature_loss, mel_loss

if TYPE_CHECKING:
    from torch import Tensor

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms


class ReferenceLosses(NamedTuple):
    """The two losses of a step, as numbers: the official loop waits for them at each step."""

    discriminator: float
    generator: float


class ReferenceStep:
    """Trains the networks of a state by the official step, with optimizers of its own.

    The state's optimizers, step and moving average stay as they are.
    """

    def __init__(self, state: VocoderState) -> None:
        self.state = state
        train = state.config.train
        both = [*state.mpd.parameters(), *state.msd.parameters()]
        self.optimizer_g, self.optimizer_d = (
            torch.optim.AdamW(
                parameters,
                train.learning_rate,
                train.adam_betas,
                weight_decay=train.weight_decay,
            )
            for parameters in (list(state.generator.parameters()), both)
        )

    def __call__(self, batch: Batch, mels: MelTransforms) -> ReferenceLosses:
        """Update all three networks by one batch, in place."""
        loss_d = self.discriminators_turn(batch, mels)
        self.optimizer_d.step()
        loss_g = self.generators_turn(mels)
        self.optimizer_g.step()
        return ReferenceLosses(loss_d.item(), loss_g.item())

    def discriminators_turn(self, batch: Batch, mels: MelTransforms) -> Tensor:
        """Compute the discriminators' loss (equation 1) and gradients; keep the samples."""
        mpd, msd = self.state.mpd, self.state.msd
        self._real = batch.samples.to(self.state.device)[:, None]  # (batch, 1, segment)
        input_mel = mels.input_mel(self._real[:, 0]) if batch.mels is None else batch.mels
        self._fake: Tensor = self.state.generator(input_mel.to(self.state.device))

        self.optimizer_d.zero_grad()
        fake = self._fake.detach()
        loss = discriminator_loss(mpd(self._real), mpd(fake))
        loss = loss + discriminator_loss(msd(self._real), msd(fake))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return loss

    def generators_turn(self, mels: MelTransforms) -> Tensor:
        """Compute the generator's loss (equations 2 to 7) and gradients, of the same samples."""
        train = self.state.config.train
        self.optimizer_g.zero_grad()
        loss = train.mel_weight * mel_loss(
            mels.full_band(self._real[:, 0]), mels.full_band(self._fake[:, 0])
        )
        for network in (self.state.mpd, self.state.msd):
            of_real, of_fake = network(self._real), network(self._fake)
            loss = loss + train.feature_weight * feature_loss(of_real, of_fake)
            loss = loss + adversarial_loss(of_fake)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return loss
