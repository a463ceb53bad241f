"""The end of a child that was killed, where nothing may wait for it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time

# How long the event loop waits for it: what is killed is gone at once, unless it hangs in the kernel.
_GONE_S, _LOOK_S = 0.02, 0.001


def reap_killed(process: subprocess.Popen[bytes]) -> None:
    """Take note of its end, or leave that to a thread when it hangs in the kernel."""
    until = time.monotonic() + _GONE_S
    while process.poll() is None:
        if time.monotonic() > until:
            with contextlib.suppress(RuntimeError):  # without a thread it stays a zombie for a while
                threading.Thread(target=process.wait, name="reap", daemon=True).start()
            return
        time.sleep(_LOOK_S)
