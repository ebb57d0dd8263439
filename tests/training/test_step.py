"""The training step, compared with a second plain implementation, and known mistakes in it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from hifigan_cli.audio import mel_spectrogram
from hifigan_cli.data.batches import Batch
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import Losses, mel_transforms, train_step
from tests.training import small
from tests.training.runs import CPU, noise

pytestmark = pytest.mark.usefixtures("small_discriminators")


def step(state: VocoderState, batch: Batch) -> Losses:
    return train_step(state, batch, mel_transforms(state.config, CPU), NonfiniteGuard(CPU))


def reference_step(state: VocoderState, batch: Batch) -> tuple[dict[str, float], list[nn.Module]]:
    """Run the official step once on copies of the networks, with torch's plain AdamW."""
    c = state.config
    generator, mpd, msd = (copy.deepcopy(n) for n in (state.generator, state.mpd, state.msd))
    both = [*mpd.parameters(), *msd.parameters()]
    optimizer_g, optimizer_d = (
        torch.optim.AdamW(parameters, lr=2e-4, betas=(0.8, 0.99), weight_decay=0.01, foreach=False)
        for parameters in (list(generator.parameters()), both)
    )
    x = mel_spectrogram(batch.samples, c.mel) if batch.mels is None else batch.mels
    y = batch.samples.unsqueeze(1)
    y_hat = generator(x)

    loss_d = torch.zeros(())
    for network in (mpd, msd):
        for out_y, out_y_hat in zip(network(y), network(y_hat.detach()), strict=True):
            loss_d = loss_d + torch.mean((out_y.scores - 1) ** 2) + torch.mean(out_y_hat.scores**2)
    optimizer_d.zero_grad()
    torch.autograd.backward(loss_d)
    optimizer_d.step()

    adversarial = feature = torch.zeros(())
    for network in (mpd, msd):
        for out_y, out_y_hat in zip(network(y), network(y_hat), strict=True):
            adversarial = adversarial + torch.mean((out_y_hat.scores - 1) ** 2)
            for a, b in zip(out_y.feature_maps, out_y_hat.feature_maps, strict=True):
                feature = feature + torch.mean(torch.abs(a.detach() - b))
    full_band = c.mel.full_band()
    mel = F.l1_loss(
        mel_spectrogram(y_hat[:, 0], full_band), mel_spectrogram(batch.samples, full_band)
    )
    loss_g = adversarial + 2 * feature + 45 * mel
    optimizer_g.zero_grad()
    torch.autograd.backward(loss_g)
    optimizer_g.step()
    losses = {"discriminator": loss_d.item(), "generator": loss_g.item(), "mel": mel.item()}
    return losses, [generator, mpd, msd]


@pytest.mark.parametrize(("seed", "mels"), [(1, False), (2, False), (3, True)])
def test_step_equals_the_official_step(seed: int, mels: bool) -> None:
    """Check losses, loss weights, detachment and order."""
    state = VocoderState(small.config(seed=seed), CPU)
    expected, networks = reference_step(state, noise(seed, mels=mels))
    losses = step(state, noise(seed, mels=mels))
    for name, value in expected.items():
        assert getattr(losses, name).item() == pytest.approx(value, rel=1e-5)
    for network, expected_network in zip(
        (state.generator, state.mpd, state.msd), networks, strict=True
    ):
        for key, value in expected_network.state_dict().items():
            torch.testing.assert_close(network.state_dict()[key], value, rtol=1e-4, atol=2e-6)


def test_each_step_runs_the_generator_once_and_updates_all_networks() -> None:
    """Alternating between generator and discriminators would halve the updates."""
    state = VocoderState(small.config(), CPU)
    calls: list[Tensor] = []
    state.optimized_generator.register_forward_hook(lambda *_: calls.append(torch.empty(0)))
    for number in range(3):
        before = {
            n: copy.deepcopy(getattr(state, n).state_dict()) for n in ("generator", "mpd", "msd")
        }
        step(state, noise(number))
        for name, weights in before.items():
            after = getattr(state, name).state_dict()
            changed = [
                k for k, v in weights.items() if "original" in k and not torch.equal(v, after[k])
            ]
            assert len(changed) == sum("original" in k for k in weights), name
    assert len(calls) == 3
    assert state.step == 3


@pytest.mark.parametrize("network", ["mpd", "msd"])
def test_feature_loss_uses_generated_audio_in_each_discriminator(network: str) -> None:
    """Comparing `y` with itself in one of them would always give 0."""
    state = VocoderState(small.config(), CPU)
    other = state.msd if network == "mpd" else state.mpd
    other.discriminators = nn.ModuleList()
    assert step(state, noise()).feature.item() > 1e-4


def test_generator_loss_gives_discriminators_no_gradient() -> None:
    """Check that the generator's loss does not train the discriminators."""
    state = VocoderState(small.config(), CPU)
    before: list[Tensor] = []

    def record_gradients(*_: object) -> None:
        before.extend(p.grad.clone() for p in state.mpd.parameters() if p.grad is not None)

    state.optimizer_d.register_step_post_hook(record_gradients)
    step(state, noise())
    after = [p.grad for p in state.mpd.parameters() if p.grad is not None]
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.requires_grad for p in [*state.mpd.parameters(), *state.msd.parameters()])


@pytest.mark.parametrize("network", ["generator", "mpd"])
def test_nonfinite_gradients_change_no_weight(network: str) -> None:
    """Check a NaN in the batch, and in the gradient of one weight."""
    state = VocoderState(small.config(), CPU)
    batch = noise()
    if network == "generator":
        parameter = next(state.generator.parameters())
        # unannotated in torch
        parameter.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]
    else:
        batch.samples[2, 7] = float("nan")
    before = copy.deepcopy(getattr(state, network).state_dict())
    guard = NonfiniteGuard(CPU)
    train_step(state, batch, mel_transforms(state.config, CPU), guard)
    assert guard.last_step_skipped()
    after = getattr(state, network).state_dict()
    assert all(
        torch.equal(v, after[k]) for k, v in before.items() if "original" in k or "bias" in k
    )


def test_guard_counts_skipped_steps() -> None:
    """Check the number of skipped steps and the longest streak, also across calls of `read`."""
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.AdamW([weight], fused=True)
    guard, good, bad = NonfiniteGuard(CPU), torch.tensor(1.0), torch.tensor(float("inf"))
    for gradients in ((good, good), (good, bad), (bad, bad)):
        for gradient in gradients:  # two updates per step
            guard.update(optimizer, gradient)
        guard.end_step()
    assert guard.read() == (2, 2)
    assert guard.last_step_skipped()
    before = weight.detach().clone()
    guard.update(optimizer, bad)
    assert torch.equal(weight, before)
    guard.end_step()
    assert guard.read() == (1, 3)  # the streak continues
    guard.update(optimizer, good)
    assert not torch.equal(weight, before)
    guard.end_step()
    assert not guard.last_step_skipped()
    assert guard.read() == (0, 3)
    assert guard.read() == (0, 0)


def test_guarded_updates_are_bit_identical() -> None:
    """Check that an update that is not skipped equals the optimizer's bit by bit."""
    weights = [nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2)]
    optimizers = [torch.optim.AdamW([weight], fused=True) for weight in weights]
    guard = NonfiniteGuard(CPU)
    for seed in range(5):
        for weight in weights:
            weight.grad = torch.randn(50, generator=torch.Generator().manual_seed(seed))
        optimizers[0].step()
        guard.update(optimizers[1], torch.tensor(float(seed)))
    assert torch.equal(*weights)


def test_ema_update() -> None:
    """Check the formula at each step: decay * ema + (1 - decay) * weight."""
    state = VocoderState(small.config(ema_decay=0.75), CPU)
    assert state.ema is not None
    expected = [p.detach().clone() for p in state.generator.parameters()]
    for number in range(2):
        step(state, noise(number))
        expected = [
            0.75 * e + 0.25 * p.detach()
            for e, p in zip(expected, state.generator.parameters(), strict=True)
        ]
    for value, expected_value in zip(state.ema.parameters(), expected, strict=True):
        torch.testing.assert_close(value, expected_value)
    assert state.eval_generator is state.ema


def test_bfloat16_is_used_only_in_the_networks() -> None:
    """Check that losses, mels and weights are fp32, and the mel loss is close to that of fp32."""
    fp32, bf16 = (VocoderState(small.config(precision=p), CPU) for p in ("fp32", "bf16"))
    expected, losses = step(fp32, noise()), step(bf16, noise())
    assert losses.mel.dtype == torch.float32
    assert losses.mel.item() == pytest.approx(expected.mel.item(), rel=0.1)
    assert losses.generator.item() != expected.generator.item()
    assert all(p.dtype == torch.float32 for p in bf16.generator.parameters())


def test_seed_determines_the_weights() -> None:
    """Check that the same seed gives the same weights, and another seed different ones."""
    first, same, other = (
        next(VocoderState(small.config(seed=seed), CPU).generator.parameters())
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_overfitting_one_batch_lowers_the_mel_loss() -> None:
    """Check that thirty steps on one batch lower the mel loss."""
    state = VocoderState(small.config(learning_rate=2e-3), CPU)
    batch = noise()
    first = step(state, batch).mel.item()
    for _ in range(29):
        last = step(state, batch).mel.item()
    assert last < 0.8 * first
