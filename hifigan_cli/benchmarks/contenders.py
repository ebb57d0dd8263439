"""What is measured against the plain forward: every engine that there is for a device.

Each works as synthesis uses it: at its own chunk length, with the exact context. The yardstick is
the official way: torch, eager, weight norm folded, the mel in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.engines.choose import LIGHT, EngineOptions, make_engine, missing
from hifigan_cli.errors import UsageError, closest
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import numpy.typing as npt

    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray


PLAIN = "eager"
ENGINES = ("torch", "onnx", "native")


@dataclass(frozen=True)
class Contender:
    """A way to synthesise: an engine and the precision of its products."""

    engine: str
    precision: str = "fp32"

    @property
    def title(self) -> str:
        """Name it in tables."""
        name = "plain" if self.engine == PLAIN else self.engine
        return name if self.precision == "fp32" else f"{name} {self.precision}"


YARDSTICK = Contender(PLAIN)


def find_contenders(
    names: Iterable[str] | None, device: str = "cpu"
) -> tuple[list[Contender], dict[str, str]]:
    """Return engines in all their precisions on a device, and of those not to be had, why.

    Without names all are looked for.

    Raises:
        UsageError: an unknown name, or one that was asked for and cannot be had.
    """
    wanted = ENGINES if names is None else tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in ENGINES:
            hint = closest(name, ENGINES) or f"one of: {', '.join(ENGINES)}"
            raise UsageError(f"no engine to measure is called {name!r}", hint)
    lacking = {name: reason for name in wanted if (reason := _lack(name, device))}
    if names is not None and lacking:
        raise UsageError("; ".join(f"no {name} engine: {why}" for name, why in lacking.items()))
    found = [
        Contender(name, precision)
        for name in wanted
        if name not in lacking
        for precision in _precisions(name, device)
    ]
    return found, lacking


def _lack(engine: str, device: str) -> str | None:
    if device != "cpu" and engine in LIGHT:
        return f"it runs on the CPU, not on {device}"
    return missing(engine)


def _precisions(engine: str, device: str) -> tuple[str, ...] | list[str]:
    """Return the precisions that an engine has on a device of this machine."""
    if engine == "native":
        from hifigan_cli.engines.native import precisions

        return precisions()
    if engine != "torch":
        return ("fp32",)
    return ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")


def make_synthesis(
    contender: Contender, model: ModelFile, threads: int, device: str = "cpu"
) -> Callable[[FloatArray], FloatArray]:
    """Make a contender ready; what comes back turns a log-mel into samples.

    A mel is `(batch, mels, frames)`, the samples `(batch, samples)`.
    """
    wish = EngineOptions(contender.engine, contender.precision, device, threads)
    if contender == YARDSTICK:
        return make_engine(model, wish, device).synthesize
    vocoder = Vocoder(model, wish)
    return lambda mel: vocoder.vocode(mel).samples


def exact_samples(
    model: ModelFile, mel: FloatArray, device: str = "cpu"
) -> npt.NDArray[np.float64]:
    """Synthesize in double precision: what every engine's samples are compared with."""
    import torch

    net = model.build(device).double()
    with torch.no_grad():
        wave = net(torch.from_numpy(mel).to(device).double())[:, 0]
    samples: npt.NDArray[np.float64] = wave.cpu().numpy()
    return samples
