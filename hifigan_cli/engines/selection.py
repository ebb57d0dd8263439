"""Select the engine that runs a model, from those that this installation has.

`auto` follows the measurements in `.github/SPEED.md`. On a GPU it selects `torch`, the only engine
that runs there. On a CPU it selects the first that is available of:

- `native`: by far the fastest, at equal accuracy
- `onnx`: about as fast as `torch`, and starts two seconds faster, because torch is not imported
- `torch`

It skips an engine that lacks the requested precision, and `native` for networks whose slopes or
paddings are not the official ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.errors import UsageError, did_you_mean
from hifigan_cli.runtime.devices import resolve_device_name
from hifigan_cli.runtime.environment import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.engines.base import ChunkedEngine, StreamingEngine
    from hifigan_cli.models.model_file import ModelFile

AUTO = "auto"
ENGINES = (AUTO, "native", "onnx", "torch", "eager")
PRECISIONS = ("fp32", "int16", "bf16", "fp16")
TORCH_FREE_ENGINES = ("native", "onnx")  # CPU only; in order of preference
_INSTRUCTIONS = {
    "portable": "4-float vectors, which every processor has",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "avx512vnni": "AVX-512 VNNI",
}
_INSTALL_COMPILER = (
    "install a C++ compiler, then reinstall hifigan-cli: "
    "pip install --force-reinstall --no-deps --no-cache-dir SOURCE (. in a clone)"
)
_FIXES = {
    "native": "install a C++ compiler and reinstall hifigan-cli, or omit --engine",
    "onnx": "pip install 'hifigan-cli[onnx]', or omit --engine",
}


@dataclass(frozen=True)
class EngineOptions:
    """Which engine runs the generator, and how.

    Attributes:
        engine: one of ENGINES.
        precision: one of PRECISIONS.
        device: a name that `resolve_device` accepts.
        threads: CPU threads; None: one per available CPU.
    """

    engine: str = AUTO
    precision: str = "fp32"
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        """Reject unknown names.

        Raises:
            UsageError: an unknown engine or precision, or fewer than one thread.
        """
        for option, name, known in (
            ("engine", self.engine, ENGINES),
            ("precision", self.precision, PRECISIONS),
        ):
            if name not in known:
                hint = did_you_mean(name, known) or f"one of: {', '.join(known)}"
                raise UsageError(f"unknown {option} {name!r}", hint)
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"cannot run with {self.threads} threads", "use --threads 1 or more")


def unavailable_reason(engine: str) -> str | None:
    """Return why this machine cannot run an engine, or None if it can."""
    try:
        if engine == "native":
            from hifigan_cli.engines import native

            return native.unavailable_reason()
        if engine == "onnx":
            from hifigan_cli.engines import onnx

            return onnx.unavailable_reason()
    except ImportError as error:
        return str(error)
    return None


def engine_device(options: EngineOptions) -> str:
    """Return the device that an engine runs on, such as `cpu` or `cuda:0`.

    Loads torch only if there may be a device other than the CPU.

    Raises:
        UsageError: the engine does not run on the requested device.
        DeviceError: the device does not exist.
    """
    if options.engine not in TORCH_FREE_ENGINES:
        return resolve_device_name(options.device)
    if options.device not in (AUTO, "cpu"):
        raise UsageError(
            f"the {options.engine} engine runs on the CPU, not on {options.device}",
            "use --engine torch",
        )
    return "cpu"


def select_engine(options: EngineOptions, device: str, config: GeneratorConfig) -> str:
    """Return the name of the engine that runs a generator on a device.

    Raises:
        UsageError: the requested engine is not available, or does not support the network.
    """
    name = options.engine
    if name == AUTO:
        for candidate in TORCH_FREE_ENGINES if device == "cpu" else ():
            usable = _supports(candidate, config) and not unavailable_reason(candidate)
            if usable and options.precision in _precisions(candidate):
                return candidate
        return "torch"
    if reason := unavailable_reason(name):
        raise UsageError(f"the {name} engine is not available: {reason}", _FIXES[name])
    if not _supports(name, config):
        raise UsageError(
            f"the {name} engine supports only the official slopes and paddings", "omit --engine"
        )
    return name


def build_engine(
    model: ModelFile, options: EngineOptions, device: str
) -> ChunkedEngine | StreamingEngine:
    """Build the selected engine from a model's weights, on a device (see `engine_device`).

    Raises:
        ModelError: the weights do not match the architecture.
        UsageError: the engine is not available, or lacks the precision.
    """
    name = select_engine(options, device, model.generator)
    if name == "native":
        from hifigan_cli.engines.native import NativeEngine

        return NativeEngine(model, options.precision, options.threads)
    if name == "onnx":
        from hifigan_cli.engines.onnx import OnnxEngine

        return OnnxEngine(model, options.precision, options.threads)
    from hifigan_cli.engines.torch import EagerEngine, TorchEngine

    engine = EagerEngine if name == "eager" else TorchEngine
    return engine(model, options.precision, options.threads, device)


def _supports(name: str, config: GeneratorConfig) -> bool:
    return name != "native" or config.is_official


def _precisions(name: str) -> Sequence[str]:
    if name == "onnx":
        return ("fp32",)
    from hifigan_cli.engines.native import precisions

    return precisions()


def engine_checks() -> list[Check]:
    """Check the torch-free engines for `hifigan doctor`; a missing one is not a fault."""
    return [_native_check(), _onnx_check()]


def _native_check() -> Check:
    name = "engine: native"
    if reason := unavailable_reason("native"):
        return Check(name, ok=None, detail=reason, fix=_INSTALL_COMPILER)
    from hifigan_cli.engines.native.engine import PRECISIONS
    from hifigan_cli.engines.native.library import find_kernels

    details = []
    for precision, required in PRECISIONS.items():
        if kernels := find_kernels(required):
            details.append(f"{precision} with {_INSTRUCTIONS[kernels]}")
        else:
            details.append(f"no {precision}: this processor lacks {_INSTRUCTIONS[required]}")
    return Check(name, ok=True, detail=", ".join(details))


def _onnx_check() -> Check:
    name = "engine: onnx"
    if reason := unavailable_reason("onnx"):
        detail, _, install = reason.partition(": ")
        return Check(name, ok=None, detail=detail, fix=install)
    try:
        import onnxruntime
    except ImportError as error:
        fix = "pip install --force-reinstall onnxruntime"
        return Check(name, ok=False, detail=f"cannot be imported: {error}", fix=fix)
    return Check(name, ok=True, detail=f"fp32, onnxruntime {onnxruntime.__version__}")
