"""Import this first in the daemon: it keeps out what its libraries would bring along for nobody, and what would slow
the start down.

structlog takes rich (3 MB, 25 ms), if it is there, for coloured tracebacks on a terminal. Garbage collection, which
finds none in what is imported and looks for it again and again (25 ms), is off until the second stage is there.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys


def _without(library: str, importer: str) -> None:
    """Import `importer` as where `library` is not installed; who wants that later, gets it."""
    if library in sys.modules:
        return
    sys.modules[library] = None  # type: ignore[assignment]
    try:
        importlib.import_module(importer)
    finally:
        del sys.modules[library]


gc.disable()
# gRPC's own words go to standard error past everybody; what fails is said by who asked for it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
_without("rich", "structlog")
