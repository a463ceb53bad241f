"""`python -m hactl.resources.kill_record FILE`: kill the process of a record with its group, and see it dead.

How the guard stops a supervised process where there are no cgroups: when it is told of the resource, which
is before the start, there is no pid yet. Exit status 0: nothing of it lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from hactl.linux.process_identity import group_members, read_record

_WAIT_S = 1.0


def kill_record(path: str, wait_s: float = _WAIT_S) -> bool:
    """SIGKILL the process of the record and its group; whether nothing of them is left."""
    identity = read_record(path)
    if identity is None:
        return True
    until = time.monotonic() + wait_s
    while members := group_members(identity):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


if __name__ == "__main__":
    sys.exit(0 if kill_record(sys.argv[1]) else 1)
