"""Design a configuration for any sample rate and hop length, by the rules of the paper's presets.

The product of the upsample rates is the hop length. The paper uses 8 x 8 x 2 x 2: few stages, large
rates first, kernels of twice the rate. Durations stay the same: a window of 46 ms, training
segments of 0.37 s. The discriminators work on samples and are the same at every sample rate.
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

# The maximum of a stage; above it, a transposed convolution has too few inputs per output.
MAX_RATE = 16
MAX_HOP = 16_384
_PAPER_MAX_RATE = 8
_MAX_STAGES = 7
# Penalties of a candidate, in octaves of distance from the paper's rates.
_ODD_COST, _LARGE_COST, _STAGE_COST = 2.0, 6.0, 3.5
_MIN_OVERLAP = 3  # n_fft / hop_length; 4 in the paper
_USUAL_HOPS_MS = 5.0, 17.0
_SEGMENT_FRAMES = 8  # segments are a multiple of this many frames


def design(base: Config, sample_rate: int, hop_length: int) -> Config:
    """Change a configuration to another sample rate (Hz) and hop length (samples).

    Raises:
        UsageError: no upsample rates fit the hop length; the hint names the nearest that fit.
    """
    if not 4_000 <= sample_rate <= 384_000 or sample_rate % 2:
        raise UsageError(
            f"sample_rate {sample_rate} is not supported", "use an even one from 4000 to 384000 Hz"
        )
    rates = find_upsample_rates(base.generator, hop_length)
    kernels = tuple(kernel_size_for(rate) for rate in rates)
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


def find_upsample_rates(base: GeneratorConfig, hop_length: int) -> tuple[int, ...]:
    """Find the upsample rates for a hop length that are closest to those of a generator.

    Raises:
        UsageError: there are none; the hint names the nearest hop lengths that have some.

    >>> find_upsample_rates(GeneratorConfig(), 512)
    (8, 8, 4, 2)
    """
    if not 2 <= hop_length <= MAX_HOP:
        raise UsageError(f"hop_length {hop_length} is not supported", f"use 2 to {MAX_HOP}")
    found = list(_candidates(base, hop_length))
    if not found:
        raise UsageError(
            f"no upsample rates multiply to hop_length {hop_length}: its prime factor "
            f"{_largest_prime(hop_length)} is above {MAX_RATE}, the limit of one stage",
            f"use the nearest possible: {' or '.join(_nearest(base, hop_length))}",
        )
    return min(found, key=lambda rates: (_distance(rates, base), rates))


def kernel_size_for(rate: int) -> int:
    """Return the kernel size of an upsample rate: twice an even rate, three times an odd one.

    With a multiple of the rate, every output sample sums the same number of taps; other kernels
    leave a checkerboard pattern. Kernel minus rate must be even, so twice an odd rate does not fit.
    """
    return 3 * rate if rate % 2 else 2 * rate


def multiplications_per_s(config: Config) -> float:
    """Count the multiplications of a generator for one second of speech."""
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
    """Yield all upsample rates of a hop length whose number of stages can halve the channels."""
    divisors = [rate for rate in range(MAX_RATE, 1, -1) if hop % rate == 0]
    for stages in range(1, _MAX_STAGES + 1):
        if base.upsample_initial_channel % 2**stages == 0:
            for rates in combinations_with_replacement(divisors, stages):
                if math.prod(rates) == hop:
                    yield rates


def _distance(rates: tuple[int, ...], base: GeneratorConfig) -> float:
    """Measure how far rates are from a generator's, scaled to the same product."""
    octaves, stages = math.log2(math.prod(rates)), len(rates)
    reference = [math.log2(rate) / math.log2(base.hop_length) for rate in base.upsample_rates]
    shares = reference if stages == len(reference) else [1 / stages] * stages
    cost = abs(stages - len(reference)) * _STAGE_COST
    for rate, share in zip(rates, shares, strict=True):
        cost += abs(math.log2(rate) - octaves * share)
        above = max(0.0, math.log2(rate / _PAPER_MAX_RATE))
        cost += _ODD_COST * (rate % 2) + _LARGE_COST * above**2
    return cost


def _nearest(base: GeneratorConfig, hop: int) -> list[str]:
    found = []
    for step in (-1, 1):
        near = hop + step
        while 2 <= near <= MAX_HOP and next(_candidates(base, near), None) is None:
            near += step
        if 2 <= near <= MAX_HOP:
            found.append(f"{near} ({product(find_upsample_rates(base, near))})")
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
    """Choose the mel: the paper's window duration, the usual number of bands and upper edge."""
    n_fft = 2 ** round(math.log2(_WINDOW_S * sample_rate))
    while n_fft < _MIN_OVERLAP * hop_length:
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
        fmax=min(_PAPER.upper_edge_hz, sample_rate / 2) if narrow else sample_rate / 2,
    )


def _odd_size(n_fft: int) -> int:
    """Return the odd size nearest to a power of two with a fast FFT (prime factors up to 7)."""
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
    """Yield one line about each value of a configuration designed from the preset `name`."""
    generator, mel, segment = config.generator, config.mel, config.train.segment_size
    rates, usual = generator.upsample_rates, len(base.generator.upsample_rates)
    stages = f"as in {name}" if len(rates) == usual else f"because {usual} as in {name} do not fit"
    yield (
        f"upsample_rates {product(rates)} = hop_length {generator.hop_length}: "
        f"{len(rates)} stages, {stages}, the largest rate first"
    )
    kernels = generator.upsample_kernel_sizes
    if kernels == tuple(kernel_size_for(rate) for rate in rates):
        odd = " (three times an odd rate)" if any(rate % 2 for rate in rates) else ""
        yield (
            f"upsample_kernel_sizes {' '.join(map(str, kernels))}: twice the rate{odd}, so every "
            "sample sums the same number of taps"
        )
    if max(rates) > _PAPER_MAX_RATE:
        yield (
            f"an upsample rate of {max(rates)} is larger than the paper's; hop lengths of 256, 512 "
            "and 1024 avoid this"
        )
    channels = generator.upsample_initial_channel
    halved = " ".join(str(channels // 2 ** (stage + 1)) for stage in range(len(rates)))
    yield f"upsample_initial_channel {channels}: each stage halves it to {halved}"
    window_ms, hop_ms = (1000 * n / mel.sample_rate for n in (mel.win_length, mel.hop_length))
    yield (
        f"win_length {mel.win_length} is {window_ms:.1f} ms, hop_length {mel.hop_length} is "
        f"{hop_ms:.1f} ms (paper: 46.4 and 11.6 ms)"
    )
    if not _USUAL_HOPS_MS[0] <= hop_ms <= _USUAL_HOPS_MS[1]:
        yield f"a hop of {hop_ms:.1f} ms is unusual: text-to-speech models use 8 to 16 ms"
    yield f"{mel.n_mels} mel bands up to {mel.upper_edge_hz:g} Hz; your mels must have the same"
    yield (
        f"segment_size {segment}: {segment // mel.hop_length} frames, "
        f"{segment / mel.sample_rate:.2f} s (paper: 0.37 s)"
    )
    ratio = multiplications_per_s(config) / multiplications_per_s(base)
    yield f"multiplications per second of speech: {ratio:.2g} times those of {name}"
    yield "the discriminators are the paper's at every sample rate"
