"""A configuration for any rate and hop, by the rules that the paper's three follow, and why.

The generator's upsample rates multiply to the hop. The paper takes 8 x 8 x 2 x 2: few stages, the
large ones first, every kernel twice its rate. Lengths in time are kept: a window of 46 ms, training
segments of 0.37 s. The discriminators look at samples and stay as they are at every rate.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

from hifigan_cli.config.schema import Config, GeneratorConfig, MelConfig, TrainConfig
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAPER = MelConfig()
_WINDOW_S = _PAPER.n_fft / _PAPER.sample_rate
_SEGMENT_S = TrainConfig().segment_size / _PAPER.sample_rate

MAX_RATE = 16  # of one stage; a transposed convolution beyond it writes from too little
MAX_HOP = 16_384
WIDE = 8  # the paper's largest rate
_MAX_STAGES = 7
# What a stage may cost in likeness to the paper: octaves away from its rates are the unit.
_ODD_COST, _WIDE_COST, _STAGE_COST = 2.0, 6.0, 3.5
_LEAST_OVERLAP = 3  # of windows; the paper's is 4
_USUAL_MS = 5.0, 17.0  # hops in use
_SEGMENT_FRAMES = 8  # segments are a multiple of so many frames


def design(base: Config, sample_rate: int, hop_length: int) -> Config:
    """Make the configuration of a preset for another rate, in Hz, and hop, in samples.

    Raises:
        UsageError: no upsample rates make this hop; names the nearest that some make.
    """
    if not 4_000 <= sample_rate <= 384_000 or sample_rate % 2:
        raise UsageError(
            f"a rate of {sample_rate} Hz cannot be used", "give an even one from 4000 to 384000"
        )
    rates = solve(base.generator, hop_length)
    kernels = tuple(kernel_of(rate) for rate in rates)
    upsampling = {"upsample_rates": rates, "upsample_kernel_sizes": kernels}
    frames = round(_SEGMENT_S * sample_rate / hop_length / _SEGMENT_FRAMES) * _SEGMENT_FRAMES
    segment = max(frames, _SEGMENT_FRAMES) * hop_length
    return Config.model_validate(
        {
            "mel": _mel(sample_rate, hop_length).model_dump(),
            "generator": base.generator.model_dump() | upsampling,
            "train": base.train.model_dump() | {"segment_size": segment},
        }
    )


def solve(base: GeneratorConfig, hop_length: int) -> tuple[int, ...]:
    """Find the upsample rates of a hop that are most like those of a generator.

    Raises:
        UsageError: there are none; names the nearest hops that have some.

    >>> solve(GeneratorConfig(), 512)
    (8, 8, 4, 2)
    """
    if not 2 <= hop_length <= MAX_HOP:
        raise UsageError(f"a hop of {hop_length} samples cannot be used", f"give 2 to {MAX_HOP}")
    found = list(_candidates(base, hop_length))
    if not found:
        raise UsageError(
            f"no upsample rates multiply to a hop of {hop_length}: it has the prime factor "
            f"{_largest_prime(hop_length)}, and one stage upsamples by {MAX_RATE} at most",
            f"the nearest possible: {' or '.join(_nearest(base, hop_length))}",
        )
    return min(found, key=lambda rates: (_unlikeness(rates, base), rates))


def kernel_of(rate: int) -> int:
    """Return the kernel of an upsample rate: 2 x even, 3 x odd.

    A multiple of the rate covers every sample by as many taps; other kernels leave a pattern. The
    difference to the rate must be even, so twice an odd rate does not fit.
    """
    return 3 * rate if rate % 2 else 2 * rate


def work_per_s(config: Config) -> float:
    """Count the multiplications that a generator makes for a second of speech."""
    generator, length = config.generator, 1
    channels = generator.upsample_initial_channel
    per_frame = 7 * config.mel.n_mels * channels
    taps = sum(
        size * len(dilations) * (2 if generator.resblock == 1 else 1)
        for size, dilations in zip(
            generator.resblock_kernel_sizes, generator.resblock_dilation_sizes, strict=True
        )
    )
    for rate, kernel in zip(generator.upsample_rates, generator.upsample_kernel_sizes, strict=True):
        per_frame += length * kernel * channels * (channels // 2)
        channels, length = channels // 2, length * rate
        per_frame += length * taps * channels**2
    return (per_frame + length * 7 * channels) * config.mel.sample_rate / config.mel.hop_length


def _candidates(base: GeneratorConfig, hop: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to split a hop into stages that the channels can halve through."""
    divisors = [rate for rate in range(MAX_RATE, 1, -1) if hop % rate == 0]
    for stages in range(1, _MAX_STAGES + 1):
        if base.upsample_initial_channel % 2**stages == 0:
            for rates in combinations_with_replacement(divisors, stages):
                if math.prod(rates) == hop:
                    yield rates


def _unlikeness(rates: tuple[int, ...], base: GeneratorConfig) -> float:
    """Measure how far rates are from a generator's, stretched to the same product."""
    octaves, stages = math.log2(math.prod(rates)), len(rates)
    own = [math.log2(rate) / math.log2(base.hop_length) for rate in base.upsample_rates]
    shares = own if stages == len(own) else [1 / stages] * stages
    cost = abs(stages - len(own)) * _STAGE_COST
    for rate, share in zip(rates, shares, strict=True):
        cost += abs(math.log2(rate) - octaves * share)
        cost += _ODD_COST * (rate % 2) + _WIDE_COST * max(0.0, math.log2(rate / WIDE)) ** 2
    return cost


def _nearest(base: GeneratorConfig, hop: int) -> list[str]:
    found = []
    for step in (-1, 1):
        near = hop + step
        while 2 <= near <= MAX_HOP and next(_candidates(base, near), None) is None:
            near += step
        if 2 <= near <= MAX_HOP:
            found.append(f"{near} ({product(solve(base, near))})")
    return found


def _largest_prime(number: int) -> int:
    prime, rest = 2, number
    while prime * prime <= rest:
        if rest % prime:
            prime += 1
        else:
            rest //= prime
    return rest


def _mel(sample_rate: int, hop_length: int) -> MelConfig:
    """Choose the mel: the paper's window in time; the bands and upper edge that are usual."""
    n_fft = 2 ** round(math.log2(_WINDOW_S * sample_rate))
    while n_fft < _LEAST_OVERLAP * hop_length:
        n_fft *= 2
    if hop_length % 2:  # half of n_fft - hop pads each end
        n_fft = _odd_size(n_fft)
    narrow = sample_rate < 24_000
    return MelConfig(
        sample_rate=sample_rate,
        n_fft=n_fft,
        hop_length=hop_length,
        win_length=n_fft,
        n_mels=_PAPER.n_mels if narrow else 100 if sample_rate < 32_000 else 128,
        fmin=0.0,
        fmax=min(_PAPER.top_hz, sample_rate / 2) if narrow else sample_rate / 2,
    )


def _odd_size(n_fft: int) -> int:
    """Return the odd size next to a power of two whose Fourier transform is still fast."""
    size, step = (n_fft + 1, 2) if n_fft < 65_536 else (n_fft - 1, -2)
    while _largest_prime(size) > 7:
        size += step
    return size


def product(rates: tuple[int, ...]) -> str:
    """Write rates as a product.

    >>> product((8, 4))
    '8 x 4'
    """
    return " x ".join(str(rate) for rate in rates)


def explain(config: Config, base: Config, name: str) -> Iterator[str]:
    """Yield a line for each choice in a configuration, made of the preset `base` of that name."""
    generator, mel, segment = config.generator, config.mel, config.train.segment_size
    rates, usual = generator.upsample_rates, len(base.generator.upsample_rates)
    alike = f"as {name} has" if len(rates) == usual else f"the {usual} of {name} do not fit"
    yield (
        f"upsample rates {product(rates)} = {generator.hop_length}: {len(rates)} stages, {alike}; "
        "the largest first"
    )
    kernels = generator.upsample_kernel_sizes
    if kernels == tuple(kernel_of(rate) for rate in rates):
        odd = ", three times where it is odd" if any(rate % 2 for rate in rates) else ""
        yield (
            f"kernels {' '.join(map(str, kernels))}: twice the rate{odd}, so that each sample is "
            "made of equally many taps"
        )
    if max(rates) > WIDE:
        yield f"a rate of {max(rates)} is above the paper's; hops of 256, 512 and 1024 need none"
    channels = generator.upsample_initial_channel
    halved = " ".join(str(channels // 2 ** (stage + 1)) for stage in range(len(rates)))
    yield f"channels {channels}, halved at each stage: {halved}"
    window_ms, hop_ms = (1000 * n / mel.sample_rate for n in (mel.win_length, mel.hop_length))
    yield (
        f"window {mel.win_length} is {window_ms:.1f} ms, hop {mel.hop_length} is {hop_ms:.1f} ms "
        "(the paper: 46.4 and 11.6 ms)"
    )
    if not _USUAL_MS[0] <= hop_ms <= _USUAL_MS[1]:
        yield f"a hop of {hop_ms:.1f} ms is unusual; text-to-speech models have 8 to 16 ms"
    yield f"{mel.n_mels} bands to {mel.top_hz:g} Hz; they must be those of your mels"
    yield (
        f"segments of {segment} samples: {segment // mel.hop_length} frames, "
        f"{segment / mel.sample_rate:.2f} s (the paper: 0.37 s)"
    )
    ratio = work_per_s(config) / work_per_s(base)
    yield f"work for a second of speech: {ratio:.2g} x that of {name} at 22.05 kHz"
    yield "the discriminators look at samples, and are the paper's at every rate"
