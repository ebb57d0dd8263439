"""How many threads numpy's matrix products take while speech is made: one.

The engine has the processors. A second pool of threads, which waits by spinning, takes them away
from it: on two busy cores a folder took twice as long.
"""

from __future__ import annotations

import os
import platform


def calm_blas() -> None:
    """Keep OpenBLAS to one thread, unless the user says otherwise; before numpy is loaded."""
    # On other processors torch's own products come from OpenBLAS too.
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
