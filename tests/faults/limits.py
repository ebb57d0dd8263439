"""Limits for a command: a full disk, file permissions, little memory.

Each is a function that runs in the child process before the command, and needs no root rights. For
tests of permissions, root first drops the capabilities that bypass them.
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
_LIBC = ctypes.CDLL(None, use_errno=True)


@cache
def permissions_apply() -> bool:
    """Return whether file permissions can be made to apply to a child process."""
    if os.geteuid() != 0:
        return True
    child = os.fork()
    if child == 0:
        try:
            drop_privileges()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def drop_privileges() -> None:
    """Make file permissions apply to root as well, from the next program on.

    Raises:
        OSError: this process may not drop capabilities.
    """
    if os.geteuid() != 0:
        return
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER):
        if _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def limit_file_size(size_bytes: int) -> Prepare:
    """Limit the size of files; a larger write fails as on a full disk."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))

    return prepare


def limit_memory(size_bytes: int) -> Prepare:
    """Limit the address space of the process."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))

    return prepare
