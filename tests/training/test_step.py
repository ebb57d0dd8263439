"""The step against a plain second writing of the paper's, and the mistakes it must not make."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's users know
from torch import Tensor, nn

from hifigan_cli.audio import mel_spectrogram
from hifigan_cli.data.batches import Batch
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import Losses, mel_transforms, train_step
from tests.training import small
from tests.training.runs import CPU, noise

pytestmark = pytest.mark.usefixtures("small_discriminators")


def step(state: VocoderState, of: Batch) -> Losses:
    return train_step(state, of, mel_transforms(state.config, CPU), NonfiniteGuard(CPU))


def reference_step(state: VocoderState, of: Batch) -> tuple[dict[str, float], list[nn.Module]]:
    """Do the official step once, on copies of the networks, with torch's plain AdamW."""
    c = state.config
    generator, mpd, msd = (copy.deepcopy(n) for n in (state.generator, state.mpd, state.msd))
    both = [*mpd.parameters(), *msd.parameters()]
    optimizer_g, optimizer_d = (
        torch.optim.AdamW(of_one, lr=2e-4, betas=(0.8, 0.99), weight_decay=0.01, foreach=False)
        for of_one in (list(generator.parameters()), both)
    )
    x = mel_spectrogram(of.samples, c.mel) if of.mels is None else of.mels
    y = of.samples.unsqueeze(1)
    y_hat = generator(x)

    loss_d = torch.zeros(())
    for network in (mpd, msd):
        for real, fake in zip(network(y), network(y_hat.detach()), strict=True):
            loss_d = loss_d + torch.mean((real.scores - 1) ** 2) + torch.mean(fake.scores**2)
    optimizer_d.zero_grad()
    torch.autograd.backward(loss_d)
    optimizer_d.step()

    adversarial = feature = torch.zeros(())
    for network in (mpd, msd):
        for real, fake in zip(network(y), network(y_hat), strict=True):
            adversarial = adversarial + torch.mean((fake.scores - 1) ** 2)
            for a, b in zip(real.feature_maps, fake.feature_maps, strict=True):
                feature = feature + torch.mean(torch.abs(a.detach() - b))
    full = c.mel.full_band()
    mel = F.l1_loss(mel_spectrogram(y_hat[:, 0], full), mel_spectrogram(of.samples, full))
    loss_g = adversarial + 2 * feature + 45 * mel
    optimizer_g.zero_grad()
    torch.autograd.backward(loss_g)
    optimizer_g.step()
    losses = {"discriminator": loss_d.item(), "generator": loss_g.item(), "mel": mel.item()}
    return losses, [generator, mpd, msd]


@pytest.mark.parametrize(("seed", "given"), [(1, False), (2, False), (3, True)])
def test_step_equals_the_official_one_written_plainly(seed: int, given: bool) -> None:
    """Protects every loss, weight, detach and order at once (mistakes 1 and 2 among them)."""
    state = VocoderState(small.config(seed=seed), CPU)
    expected, networks = reference_step(state, noise(seed, mels=given))
    losses = step(state, noise(seed, mels=given))
    for name, value in expected.items():
        assert getattr(losses, name).item() == pytest.approx(value, rel=1e-5)
    for ours, theirs in zip((state.generator, state.mpd, state.msd), networks, strict=True):
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-4, atol=2e-6)


def test_generator_runs_once_and_all_networks_learn_in_each_step() -> None:
    """Protects against alternate batches, which halve the updates (mistake 2)."""
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
            moved = [
                k for k, v in weights.items() if "original" in k and not torch.equal(v, after[k])
            ]
            assert len(moved) == sum("original" in k for k in weights), name
    assert len(calls) == 3
    assert state.step == 3


@pytest.mark.parametrize("network", ["mpd", "msd"])
def test_feature_loss_sees_the_fake_through_each_discriminator(network: str) -> None:
    """Protects against real compared with real in one of them, which is always zero (mistake 1)."""
    state = VocoderState(small.config(), CPU)
    other = state.msd if network == "mpd" else state.mpd
    other.discriminators = nn.ModuleList()
    assert step(state, noise()).feature.item() > 1e-4


def test_discriminators_take_no_gradient_from_the_generators_turn() -> None:
    """Protects the discriminators from learning to please the generator."""
    state = VocoderState(small.config(), CPU)
    before: list[Tensor] = []

    def spy_d(*_: object) -> None:
        before.extend(p.grad.clone() for p in state.mpd.parameters() if p.grad is not None)

    state.optimizer_d.register_step_post_hook(spy_d)
    step(state, noise())
    after = [p.grad for p in state.mpd.parameters() if p.grad is not None]
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.requires_grad for p in [*state.mpd.parameters(), *state.msd.parameters()])


@pytest.mark.parametrize("network", ["generator", "mpd"])
def test_no_update_is_made_with_numbers_that_are_not_finite(network: str) -> None:
    """Protects the weights: a NaN in the batch, or in one weight's gradient, moves nothing."""
    state = VocoderState(small.config(), CPU)
    poisoned = noise()
    if network == "generator":
        parameter = next(state.generator.parameters())
        # torch leaves it unannotated.
        parameter.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]
    else:
        poisoned.samples[2, 7] = float("nan")
    before = copy.deepcopy(getattr(state, network).state_dict())
    guard = NonfiniteGuard(CPU)
    train_step(state, poisoned, mel_transforms(state.config, CPU), guard)
    assert guard.last_step_skipped()
    after = getattr(state, network).state_dict()
    assert all(
        torch.equal(v, after[k]) for k, v in before.items() if "original" in k or "bias" in k
    )


def test_guard_counts_what_it_left_out() -> None:
    """Protects the decision to give up: steps are counted, and rows of them across readings."""
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = torch.optim.AdamW([weight], fused=True)
    guard, good, bad = NonfiniteGuard(CPU), torch.tensor(1.0), torch.tensor(float("inf"))
    for gradients in ((good, good), (good, bad), (bad, bad)):
        for gradient in gradients:  # two updates a step
            guard.update(optimizer, gradient)
        guard.end_step()
    assert guard.read() == (2, 2)
    assert guard.last_step_skipped()
    moved = weight.detach().clone()
    guard.update(optimizer, bad)
    assert torch.equal(weight, moved)
    guard.end_step()
    assert guard.read() == (1, 3)  # the row goes on
    guard.update(optimizer, good)
    assert not torch.equal(weight, moved)
    guard.end_step()
    assert not guard.last_step_skipped()
    assert guard.read() == (0, 3)
    assert guard.read() == (0, 0)


def test_a_flag_that_is_not_raised_changes_no_bit() -> None:
    """Protects exactness: the update under guard is the optimiser's own, to the last bit."""
    weights = [nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2)]
    optimizers = [torch.optim.AdamW([weight], fused=True) for weight in weights]
    guard = NonfiniteGuard(CPU)
    for seed in range(5):
        for weight in weights:
            weight.grad = torch.randn(50, generator=torch.Generator().manual_seed(seed))
        optimizers[0].step()
        guard.update(optimizers[1], torch.tensor(float(seed)))
    assert torch.equal(*weights)


def test_average_follows_the_generator() -> None:
    """Protects the moving average's arithmetic: d * average + (1 - d) * weight, at each step."""
    state = VocoderState(small.config(ema_decay=0.75), CPU)
    assert state.ema is not None
    expected = [p.detach().clone() for p in state.generator.parameters()]
    for number in range(2):
        step(state, noise(number))
        expected = [
            0.75 * e + 0.25 * p.detach()
            for e, p in zip(expected, state.generator.parameters(), strict=True)
        ]
    for ours, theirs in zip(state.ema.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert state.published is state.ema


def test_bfloat16_runs_networks_only() -> None:
    """Protects the losses and mels, which bfloat16 would blur; the step stays finite and close."""
    exact, rough = (VocoderState(small.config(precision=p), CPU) for p in ("fp32", "bf16"))
    first, second = step(exact, noise()), step(rough, noise())
    assert second.mel.dtype == torch.float32
    assert second.mel.item() == pytest.approx(first.mel.item(), rel=0.1)
    assert second.generator.item() != first.generator.item()
    assert all(p.dtype == torch.float32 for p in rough.generator.parameters())


def test_seed_makes_the_weights() -> None:
    """Protects reproducibility: same seed, same weights; another seed, others."""
    one, same, other = (
        next(VocoderState(small.config(seed=seed), CPU).generator.parameters())
        for seed in (5, 5, 6)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_overfitting_one_batch_lowers_the_mel_loss() -> None:
    """Protects the whole: thirty steps on one batch must bring the generated mel nearer."""
    state = VocoderState(small.config(learning_rate=2e-3), CPU)
    of = noise()
    first = step(state, of).mel.item()
    for _ in range(29):
        last = step(state, of).mel.item()
    assert last < 0.8 * first
