"""Files of this process are for their owner alone; its children get the umask that it was started with itself."""

from __future__ import annotations

import os

PRIVATE = 0o077

# As given to this process at its start; -1: as it is (subprocess's word for that).
_given = -1


def keep_private() -> None:
    """From now on. The first call remembers what was given."""
    global _given  # noqa: PLW0603 - as the umask itself is the process's
    before = os.umask(PRIVATE)
    if _given < 0:
        _given = before


def of_children() -> int:
    """For `umask=` of subprocess."""
    return _given
