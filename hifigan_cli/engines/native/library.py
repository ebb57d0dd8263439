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
_Integers = ctypes.POINTER(ctypes.c_int)
_FOLDER = Path(__file__).parent
_STEM = "_library"  # pyproject.toml builds it beside this file


def missing() -> str | None:
    """Say why the library cannot be used, or None where it can."""
    try:
        library()
    except OSError as error:
        return f"the native engine cannot be loaded: {error}"
    except AttributeError as error:
        return f"the native engine is of another version: {error}"
    return None


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Load the library, once.

    Raises:
        OSError: it was not built, or does not fit this machine.
        AttributeError: it was built of other sources than these.
    """
    paths = sorted(_FOLDER.glob(f"{_STEM}.*"))
    if not paths:
        raise OSError("it was not built when hifigan was installed, for want of a C++ compiler")
    loaded = ctypes.CDLL(str(paths[0]))
    handle, number = ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("error", ctypes.c_char_p, ()),
        ("kernels", ctypes.c_char_p, (ctypes.c_char_p,)),
        ("network", handle, (ctypes.c_char_p, number, _Integers, ctypes.POINTER(Floats))),
        ("network_free", None, (handle,)),
        ("stream", handle, (handle,)),
        ("stream_free", None, (handle,)),
        ("push", ctypes.c_int64, (handle, handle, Floats, ctypes.c_int64, number, Floats)),
        (
            "convolve",
            number,
            (
                *(ctypes.c_char_p, number, number, number, number, number),
                *(Floats, Floats, ctypes.c_float, Floats, ctypes.c_int64, Floats, number, Floats),
            ),
        ),
    ):
        function = getattr(loaded, f"hifigan_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


def kernels(name: str = "") -> str | None:
    """Return the kernels of a name where this processor runs them; of no name, the best."""
    found = library().hifigan_kernels(name.encode())
    return None if found is None else str(found.decode())


def failure() -> HifiganError | MemoryError:
    """Make an exception of what the library said last."""
    words = library().hifigan_error().decode()
    if "alloc" in words:
        return MemoryError(words)
    return HifiganError(f"a bug in hifigan's native engine: {words}", "--engine torch goes without")
