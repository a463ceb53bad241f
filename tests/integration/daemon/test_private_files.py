"""The daemon's files are for root alone; its child processes have the umask that the daemon was given."""

from __future__ import annotations

import subprocess
import sys

_CHILDREN = """
import asyncio, os, sys
os.umask(0o027)
from fencing.linux.umask import keep_private, of_children
keep_private(); keep_private()
from fencing.guard.proc import run_bounded as by_guard
from fencing.agents.process import run_bounded as by_agents
from hactl.linux.run import run
script = ["/bin/sh", "-c", "umask"]
async def main():
    print((await run(script, timeout_s=30)).stdout.strip())
    print((await by_agents(script, stdin=b"", timeout_s=30, max_output=99)).stdout.strip())
    print(by_guard(script, 30, limit=99).output.strip())
    print("%04o" % os.umask(0))
asyncio.run(main())
"""


def test_children_have_the_umask_that_was_given() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILDREN], capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout.split() == ["0027", "0027", "0027", "0077"]
