"""Processes are moved from one cgroup to another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hactl.linux.cgroup import Cgroup
from tests.support.cgroups import own_cgroup
from tests.support.waiting import until

# Its first thread ends, another goes on: the process is listed where the first thread was, whatever is moved.
HEADLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""

pytestmark = pytest.mark.root


def moved(argv: list[str], ready: str = "") -> None:
    """Begin it in one cgroup, and move it to another: it must be there."""
    with own_cgroup("move") as root:
        one, other = Cgroup(f"{root}/one"), Cgroup(f"{root}/other")
        one.create()
        other.create()
        process = subprocess.Popen(one.enter_argv(argv), stdout=subprocess.PIPE, text=True)
        try:
            if ready:
                assert process.stdout is not None and process.stdout.readline().strip() == ready
                until(lambda: " Z" in Path(f"/proc/{process.pid}/stat").read_text(), "its first thread has ended")
            else:
                until(one.populated)
            one.move_to(other)
            assert other.populated()
        finally:
            process.kill()
            process.communicate()
            until(lambda: not other.populated())


def test_a_process_is_moved() -> None:
    moved(["sleep", "600"])


def test_a_process_whose_first_thread_has_ended_is_moved() -> None:
    moved([sys.executable, "-c", HEADLESS], "ready")
