"""Reads a file into whose place others may put something else: a pipe does not hang us, a device is not read, and a
huge file does not fill the memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# More than any file has that is read as a whole.
LARGEST = 16 << 20


def read_regular(path: str | Path, largest: int = LARGEST) -> bytes:
    """All that is in the regular file at `path`. Raises OSError, for anything else as well."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest} bytes", str(path))
    return content
