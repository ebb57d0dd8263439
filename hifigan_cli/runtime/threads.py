"""How many threads and processes to use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000": two processors' time; or "max 100000"


def available_threads() -> int:
    """Count the threads to use: OMP_NUM_THREADS, as torch does, or all available CPUs."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return processors()


def processors() -> int:
    """Count the available CPUs.

    A process may be kept to some of them, and a container have less of their time than it sees.
    """
    seen = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        seen = len(os.sched_getaffinity(0))
    return max(1, min(seen, _granted() or seen))


def _granted() -> int:
    """Return how many processors' time the container has, rounded up; 0: no limit is known."""
    try:
        quota, period = _CGROUP.read_text("ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return 0


def use_one_blas_thread() -> None:
    """Keep OpenBLAS to one thread, unless the user chose otherwise; call before numpy is loaded.

    The engine uses all CPUs. A second pool of threads, which waits by spinning, takes them away
    from it: on two busy cores a folder took twice as long.
    """
    # On other processors torch's own products come from OpenBLAS too.
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
