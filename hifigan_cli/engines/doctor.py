"""Which engines without torch this installation has: rows of `hifigan doctor`.

torch's own row covers the engines `torch` and `eager`.
"""

from __future__ import annotations

from hifigan_cli.engines.choose import missing
from hifigan_cli.runtime.environment import Check

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


def engines() -> list[Check]:
    """Examine the native engine and that of onnxruntime; one that is absent is no fault."""
    return [_native(), _onnx()]


def _native() -> Check:
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


def _onnx() -> Check:
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
