"""Which engines this installation has, and which of them runs a model.

`auto`, from measurements (README, `hifigan bench`): on a GPU torch, which alone runs there. On a
CPU `native` where it was built, the fastest by far at equal accuracy; else `onnx` where onnxruntime
is installed: it is about as fast as torch's tuned form and starts without torch's two seconds; else
`torch`. An engine that lacks the precision asked for is passed over, and so is `native` for
networks with other slopes or paddings than the official ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.errors import UsageError, closest
from hifigan_cli.runtime.devices import find_device
from hifigan_cli.runtime.environment import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.engines.base import ChunkedEngine, StreamingEngine
    from hifigan_cli.models.model_file import ModelFile

AUTO = "auto"
ENGINES = (AUTO, "native", "onnx", "torch", "eager")
PRECISIONS = ("fp32", "int16", "bf16", "fp16")
LIGHT = ("native", "onnx")  # without torch, on the CPU; in the order of preference
_INSTRUCTIONS = {
    "portable": "vectors of four, which every processor has",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "avx512vnni": "AVX-512 VNNI",
}
_COMPILE = (
    "install a C++ compiler, then reinstall hifigan-cli: "
    "pip install --force-reinstall --no-deps --no-cache-dir PLACE, which may be . of a clone"
)
_FIXES = {
    "native": "reinstall hifigan-cli where there is a C++ compiler, or leave --engine out",
    "onnx": "pip install 'hifigan-cli[onnx]', or leave --engine out",
}


@dataclass(frozen=True)
class EngineOptions:
    """An engine, a precision, a device, and threads on a CPU.

    Attributes:
        engine: one of ENGINES.
        precision: one of PRECISIONS.
        device: as `resolve_device` takes it.
        threads: None: as many as there are available CPUs.
    """

    engine: str = AUTO
    precision: str = "fp32"
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        """Reject unknown names.

        Raises:
            UsageError: lists the known ones.
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
    """Return why an engine cannot be used on this machine; None: it can."""
    try:
        if engine == "native":
            from hifigan_cli.engines import native

            return native.missing()
        if engine == "onnx":
            from hifigan_cli.engines import onnx

            return onnx.missing()
    except ImportError as error:
        return str(error)
    return None


def place(options: EngineOptions) -> str:
    """Return the device that the options amount to, such as `cpu` or `cuda:0`.

    torch is asked only where there may be another device than the CPU.

    Raises:
        UsageError: the engine does not run on the device asked for.
        DeviceError: there is no such device.
    """
    if options.engine not in LIGHT:
        return find_device(options.device)
    if options.device not in (AUTO, "cpu"):
        raise UsageError(
            f"the {options.engine} engine runs on the CPU, not on {options.device}",
            "--engine torch",
        )
    return "cpu"


def choose(options: EngineOptions, device: str, config: GeneratorConfig) -> str:
    """Return the name of the engine that is to run a generator on a device.

    Raises:
        UsageError: the engine asked for is missing, or does not know such a network.
    """
    name = options.engine
    if name == AUTO:
        for light in LIGHT if device == "cpu" else ():
            usable = _knows(light, config) and not missing(light)
            if usable and options.precision in _precisions(light):
                return light
        return "torch"
    if reason := missing(name):
        raise UsageError(f"no {name} engine: {reason}", _FIXES[name])
    if not _knows(name, config):
        raise UsageError(
            f"the {name} engine knows the official slopes and paddings only", "leave --engine out"
        )
    return name


def make_engine(
    model: ModelFile, options: EngineOptions, device: str
) -> ChunkedEngine | StreamingEngine:
    """Build the engine that the options amount to, with a model's weights, on a device (`place`).

    Raises:
        ModelError: the weights do not fit the architecture.
        UsageError: the engine is missing, or lacks the precision.
    """
    name = choose(options, device, model.generator)
    if name == "native":
        from hifigan_cli.engines.native import NativeEngine

        return NativeEngine(model, options.precision, options.threads)
    if name == "onnx":
        from hifigan_cli.engines.onnx import OnnxEngine

        return OnnxEngine(model, options.precision, options.threads)
    from hifigan_cli.engines.torch import EagerEngine, TorchEngine

    engine = EagerEngine if name == "eager" else TorchEngine
    return engine(model, options.precision, options.threads, device)


def _knows(name: str, config: GeneratorConfig) -> bool:
    return name != "native" or config.standard


def _precisions(name: str) -> Sequence[str]:
    if name == "onnx":
        return ("fp32",)
    from hifigan_cli.engines.native import precisions

    return precisions()


def engine_checks() -> list[Check]:
    """Examine the engines without torch, for `hifigan doctor`; one that is absent is no fault."""
    return [_native_check(), _onnx_check()]


def _native_check() -> Check:
    name = "engine: native"
    if reason := missing("native"):
        return Check(name, ok=None, detail=reason, fix=_COMPILE)
    from hifigan_cli.engines.native.engine import PRECISIONS
    from hifigan_cli.engines.native.library import kernels

    details = []
    for precision, wanted in PRECISIONS.items():
        if found := kernels(wanted):
            details.append(f"{precision} with {_INSTRUCTIONS[found]}")
        else:
            details.append(f"no {precision}: this processor has no {_INSTRUCTIONS[wanted]}")
    return Check(name, ok=True, detail=", ".join(details))


def _onnx_check() -> Check:
    name = "engine: onnx"
    if reason := missing("onnx"):
        what, _, install = reason.partition(": ")
        return Check(name, ok=None, detail=what, fix=install)
    try:
        import onnxruntime
    except ImportError as error:
        fix = "pip install --force-reinstall onnxruntime"
        return Check(name, ok=False, detail=f"cannot be imported: {error}", fix=fix)
    return Check(name, ok=True, detail=f"fp32, onnxruntime {onnxruntime.__version__}")
