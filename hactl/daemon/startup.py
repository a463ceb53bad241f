"""Import this first in the daemon: it keeps out modules that its libraries would bring along for no use, and work that
would slow the start down.

structlog takes rich (3 MB, 25 ms), if it is there, for coloured tracebacks on a terminal. Garbage collection, which
finds none during imports and looks for it again and again (25 ms), is off until the second stage is there.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys


def _without(library: str, importer: str) -> None:
    """Import `importer` as if `library` were not installed; a later import of `library` works."""
    if library in sys.modules:
        return
    sys.modules[library] = None  # type: ignore[assignment]
    try:
        importlib.import_module(importer)
    finally:
        del sys.modules[library]


gc.disable()
# gRPC's own words go to standard error past the log; a failed call is logged by its caller.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
_without("rich", "structlog")
