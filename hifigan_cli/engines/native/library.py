"""Load the compiled library, declare the types of its functions, and report why it is missing.

It does not use the Python API, so any Python version can load it. ctypes releases the GIL while a
function runs.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

from hifigan_cli.errors import HifiganError

Floats = ctypes.POINTER(ctypes.c_float)
_FOLDER = Path(__file__).parent
_STEM = "_library"  # pyproject.toml builds it into this folder
_OUT_OF_MEMORY = 1  # a status of `source/api.cpp`; 0 is success


def unavailable_reason() -> str | None:
    """Return why the library cannot be used, or None if it can."""
    try:
        load_library()
    except OSError as error:
        return f"the native engine cannot be loaded: {error}"
    except AttributeError as error:
        return f"the native engine was built from another version: {error}"
    return None


@lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """Load the library once. Its functions that return a status raise an exception on failure.

    Raises:
        OSError: it was not built, or not for this machine.
        AttributeError: it was built from other sources.
    """
    paths = sorted(_FOLDER.glob(f"{_STEM}.*"))
    if not paths:
        raise OSError("it was not built, because there was no C++ compiler at installation")
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


def find_kernels(name: str = "") -> str | None:
    """Return `name` if this processor runs those kernels, else None; without a name, the best."""
    kernels = load_library().hifigan_kernels(name.encode())
    return None if kernels is None else str(kernels.decode())


def _check(status: int, _function: object, _arguments: object) -> int:
    if status == 0:
        return status
    message = load_library().hifigan_error().decode()
    if status == _OUT_OF_MEMORY:
        raise MemoryError(message)
    raise HifiganError(
        f"bug in hifigan's native engine: {message}", "use --engine torch to avoid it"
    )
