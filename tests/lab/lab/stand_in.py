"""Stands in for `hactl daemon`: a process with a guard in a cgroup of its own, and a helper in its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path


def main() -> None:
    settings = tomllib.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    group = Path(settings["cgroup_root"])
    if os.fork() == 0:
        os.setsid()
        (group / "guard" / "cgroup.procs").write_text("0")
        os.execvp("sleep", ["sleep", "1000"])
    subprocess.Popen(["sleep", "1000"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
