"""Which engine runs a model.

`auto`, from measurements (README, `hifigan bench`): on a GPU torch, which alone runs there. On a
CPU `native` where it was built, the fastest by far at equal accuracy; else `onnx` where onnxruntime
is installed: it is about as fast as torch's tuned form and starts without torch's two seconds; else
`torch`. An engine that lacks the precision asked for is passed over, and so is `native` for
networks with other slopes or paddings than the official ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from hifigan_cli.errors import UsageError, closest
from hifigan_cli.runtime.devices import find_device
from hifigan_cli.runtime.threads import available_threads

if TYPE_CHECKING:
    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.engines.base import ChunkedEngine, StreamingEngine
    from hifigan_cli.models.model_file import ModelFile

AUTO = "auto"
ENGINES = (AUTO, "native", "onnx", "torch", "eager")
PRECISIONS = ("fp32", "int16", "bf16", "fp16")
LIGHT = ("native", "onnx")  # without torch, on the CPU; in the order of preference
_FIXES = {
    "native": "reinstall hifigan-cli where there is a C++ compiler, or leave --engine out",
    "onnx": "pip install 'hifigan-cli[onnx]', or leave --engine out",
}


@dataclass(frozen=True)
class EngineOptions:
    """What is asked for: an engine, a precision, a device, and threads on a CPU.

    Attributes:
        engine: one of ENGINES.
        precision: one of PRECISIONS.
        device: as `resolve_device` takes it.
        threads: None: as many as processors are at hand.
    """

    engine: str = AUTO
    precision: str = "fp32"
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse names that there are not.

        Raises:
            UsageError: names what there is.
        """
        for what, name, known in (
            ("engine", self.engine, ENGINES),
            ("precision", self.precision, PRECISIONS),
        ):
            if name not in known:
                hint = closest(name, known) or f"one of: {', '.join(known)}"
                raise UsageError(f"unknown {what} {name!r}", hint)
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads do nothing", "--threads 1 or more")


def missing(engine: str) -> str | None:
    """Say why an engine cannot be used on this machine; None: it can."""
    if engine not in LIGHT:
        return None
    try:
        reason: str | None = import_module(f"hifigan_cli.engines.{engine}").missing()
    except ImportError as error:
        return str(error)
    return reason


def place(wish: EngineOptions) -> str:
    """Return the device that a wish amounts to, such as `cpu` or `cuda:0`.

    torch is asked only where there may be another device than the CPU.

    Raises:
        UsageError: the engine does not run on the device asked for.
        DeviceError: there is no such device.
    """
    if wish.engine not in LIGHT:
        return find_device(wish.device)
    if wish.device not in (AUTO, "cpu"):
        raise UsageError(
            f"the {wish.engine} engine runs on the CPU, not on {wish.device}", "--engine torch"
        )
    return "cpu"


def choose(wish: EngineOptions, device: str, config: GeneratorConfig) -> str:
    """Return the name of the engine that is to run a generator on a device.

    Raises:
        UsageError: the engine asked for is missing, or does not know such a network.
    """
    if wish.engine != AUTO:
        if reason := missing(wish.engine):
            raise UsageError(f"no {wish.engine} engine: {reason}", _FIXES[wish.engine])
        if not _knows(wish.engine, config):
            raise UsageError(
                f"the {wish.engine} engine knows the official slopes and paddings alone",
                "leave --engine out",
            )
        return wish.engine
    for name in LIGHT if device == "cpu" else ():
        if _knows(name, config) and not missing(name) and wish.precision in _precisions(name):
            return name
    return "torch"


def make_engine(
    model: ModelFile, wish: EngineOptions, device: str
) -> ChunkedEngine | StreamingEngine:
    """Make the engine that a wish amounts to, with a model's weights, on a device (`place`).

    Raises:
        ModelError: the weights do not fit the architecture.
        UsageError: the engine is missing, or lacks the precision.
    """
    name = choose(wish, device, model.generator)
    weights = model.weights_for_synthesis()
    threads = wish.threads or available_threads()
    common = (model.generator, model.mel.n_mels, weights, wish.precision)
    if name == "native":
        from hifigan_cli.engines.native import NativeEngine

        return NativeEngine(*common, threads)
    if name == "onnx":
        from hifigan_cli.engines.onnx import OnnxEngine

        return OnnxEngine(*common, threads)
    if name == "eager":
        from hifigan_cli.engines.torch_eager import EagerEngine

        return EagerEngine(*common, wish.threads, device)
    from hifigan_cli.engines.torch_tuned import TorchEngine

    return TorchEngine(*common, wish.threads, device)


def _knows(name: str, config: GeneratorConfig) -> bool:
    return name != "native" or config.standard


def _precisions(name: str) -> tuple[str, ...] | list[str]:
    if name == "onnx":
        return ("fp32",)
    from hifigan_cli.engines.native import precisions

    return precisions()
