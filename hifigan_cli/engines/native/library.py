"""The compiled library: where it is, why it may be missing, and its functions with their types.

It has no Python in it, so that any Python can load it; ctypes releases the interpreter's lock while
a function runs.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

from hifigan_cli.errors import HifiganError

Floats = ctypes.POINTER(ctypes.c_float)
_FOLDER = Path(__file__).parent
_STEM = "_library"  # pyproject.toml builds it beside this file
_OUT_OF_MEMORY = 1  # a status of `source/api.cpp`; 0 is success


def missing() -> str | None:
    """Return why the library cannot be used, or None where it can."""
    try:
        library()
    except OSError as error:
        return f"the native engine cannot be loaded: {error}"
    except AttributeError as error:
        return f"the native engine is of another version: {error}"
    return None


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Load the library, once. A function that returns a status raises where it failed.

    Raises:
        OSError: it was not built, or does not fit this machine.
        AttributeError: it was built of other sources than these.
    """
    paths = sorted(_FOLDER.glob(f"{_STEM}.*"))
    if not paths:
        raise OSError("it was not built when hifigan was installed, for want of a C++ compiler")
    loaded = ctypes.CDLL(str(paths[0]))
    text, handle, number, count = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    numbers, arrays = ctypes.POINTER(number), ctypes.POINTER(Floats)
    handles, counts = ctypes.POINTER(handle), ctypes.POINTER(count)
    for name, result, arguments in (
        ("error", text, ()),
        ("kernels", text, (text,)),
        ("network_open", number, (text, number, numbers, arrays, handles)),
        ("network_free", None, (handle,)),
        ("stream_open", number, (handle, handles)),
        ("stream_free", None, (handle,)),
        ("stream_push", number, (handle, handle, Floats, count, number, Floats, counts)),
    ):
        function = getattr(loaded, f"hifigan_{name}")
        function.restype, function.argtypes = result, arguments
        if result is number:
            function.errcheck = _check
    return loaded


def kernels(name: str = "") -> str | None:
    """Return the kernels of a name where this processor runs them; of no name, the best."""
    found = library().hifigan_kernels(name.encode())
    return None if found is None else str(found.decode())


def _check(status: int, _function: object, _arguments: object) -> int:
    if status == 0:
        return status
    message = library().hifigan_error().decode()
    if status == _OUT_OF_MEMORY:
        raise MemoryError(message)
    raise HifiganError(
        f"a bug in hifigan's native engine: {message}", "--engine torch goes without"
    )
