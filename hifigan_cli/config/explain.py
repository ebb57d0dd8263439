"""Why a configuration that the solver made is as it is: a line for each choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.config.solver import WIDE, kernel_of, product, work_per_s

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.config.schema import Config, GeneratorConfig, MelConfig

_USUAL_MS = 5.0, 17.0  # hops in use


def explain(config: Config, base: Config, name: str) -> Iterator[str]:
    """Yield a line for each choice in a configuration, made of the preset `base` of that name."""
    yield from _of_generator(config.generator, base.generator, name)
    yield from _of_mel(config.mel)
    segment, mel = config.train.segment_samples, config.mel
    yield (
        f"segments of {segment} samples: {segment // mel.hop_samples} frames, "
        f"{segment / mel.rate_hz:.2f} s (the paper: 0.37 s)"
    )
    ratio = work_per_s(config) / work_per_s(base)
    yield f"work for a second of speech: {ratio:.2g} x that of {name} at 22.05 kHz"
    yield "the discriminators look at samples, and are the paper's at every rate"


def _of_generator(generator: GeneratorConfig, base: GeneratorConfig, name: str) -> Iterator[str]:
    rates, usual = generator.upsample_rates, len(base.upsample_rates)
    alike = f"as {name} has" if len(rates) == usual else f"the {usual} of {name} do not fit"
    yield (
        f"upsample rates {product(rates)} = {generator.hop_samples}: {len(rates)} stages, {alike}; "
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


def _of_mel(mel: MelConfig) -> Iterator[str]:
    window_ms, hop_ms = (1000 * n / mel.rate_hz for n in (mel.win_samples, mel.hop_samples))
    yield (
        f"window {mel.win_samples} is {window_ms:.1f} ms, hop {mel.hop_samples} is {hop_ms:.1f} ms "
        "(the paper: 46.4 and 11.6 ms)"
    )
    if not _USUAL_MS[0] <= hop_ms <= _USUAL_MS[1]:
        yield f"a hop of {hop_ms:.1f} ms is unusual; text-to-speech models have 8 to 16 ms"
    yield f"{mel.n_mels} bands to {mel.top_hz:g} Hz; they must be those of your mels"
