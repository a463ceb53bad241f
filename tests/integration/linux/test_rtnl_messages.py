"""Only the parts of pyroute2 that are needed are imported, and all of it can be had afterwards."""

from __future__ import annotations

import subprocess
import sys


def test_the_rest_of_pyroute2_stays_out_until_asked_for() -> None:
    script = """
import sys
import hactl.linux.netlink
assert "pyroute2.netlink.rtnl.ifaddrmsg" in sys.modules
assert not [name for name in sys.modules if name.startswith("pyroute2.ndb")]
import pyroute2
assert pyroute2.IPRoute and pyroute2.NDB
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
