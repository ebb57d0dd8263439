"""Choose the numbers of threads and processes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000" is the time of two CPUs; or "max 100000"


def available_threads() -> int:
    """Return the number of threads to use: OMP_NUM_THREADS, as in torch, or all available CPUs."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return available_cpus()


def available_cpus() -> int:
    """Return the number of available CPUs.

    A process may be restricted to some CPUs, and a container may have a quota of their time.
    """
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return max(1, min(count, _cgroup_cpus() or count))


def _cgroup_cpus() -> int:
    """Return the container's CPU quota, rounded up to CPUs; 0 if no limit is known."""
    try:
        quota, period = _CGROUP.read_text("ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 0


def use_one_blas_thread() -> None:
    """Limit OpenBLAS to one thread, unless the user set its number; call before numpy is loaded.

    The engine uses all CPUs. A second thread pool, which waits by spinning, would compete with it:
    on two busy cores a folder took twice as long.
    """
    # On other processors torch itself multiplies matrices with OpenBLAS.
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
