"""Bad circumstances for a command: no room on the disk, no right to a folder, little memory.

Each is a function that runs in the child before the command does, and needs no more than an
ordinary user may do; root's own freedom from permissions is taken away first.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable
from functools import cache

Prepare = Callable[[], None]

_PR_CAPBSET_DROP = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER = 1, 2, 3
_BIND_NOW = ctypes.CDLL(None, use_errno=True)


@cache
def permissions_hold() -> bool:
    """Tell whether a child can be made to whom permissions apply."""
    if os.geteuid() != 0:
        return True
    child = os.fork()
    if child == 0:
        try:
            as_user()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def as_user() -> None:
    """Let permissions apply to root as well, from the next program on.

    Raises:
        OSError: the right to give up rights is missing.
    """
    if os.geteuid() != 0:
        return
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER):
        if _BIND_NOW.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def small_disk(size_bytes: int) -> Prepare:
    """Let no file grow beyond a size; a write beyond it fails as on a full disk."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))

    return prepare


def little_memory(size_bytes: int) -> Prepare:
    """Give a process so much address space and no more."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))

    return prepare
