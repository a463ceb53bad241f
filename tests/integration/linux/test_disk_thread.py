"""A disk that hangs holds up only requests to that disk."""

from __future__ import annotations

import subprocess
import sys


def test_the_process_ends_though_it_hangs() -> None:
    script = """
import asyncio, threading
from hactl.linux.disk_thread import DiskThread
async def main():
    try:
        await DiskThread("here", 0.01).run(threading.Event().wait)
    except OSError as error:
        print(error)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "the disk of here has not answered for 0.01 s\n" and done.stderr == ""
