"""`python -m hactl.resources.pods kill NAME`, `gone-process NAME`, `gone-kubelet URL POD...`: for the guard.

Exit status 0: done, or gone; 1: not gone, or it cannot be found out, with the reason on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hactl.resources.pods.seen import UnseenError, kill, pods_there, processes


def main(argv: Sequence[str]) -> str:
    """Why it is not gone, or ""."""
    match argv:
        case ["kill", name]:
            kill(name)
            return ""
        case ["gone-process", name]:
            pids = processes(name)
            return f"{name} runs: process {', '.join(map(str, pids[:5]))}" if pids else ""
        case ["gone-kubelet", url, *names]:
            try:
                there = pods_there(url, names)
            except UnseenError as error:
                return str(error)
            return f"the kubelet has the pod {', '.join(there)}" if there else ""
    return f"unknown: {argv}"


if __name__ == "__main__":
    problem = main(sys.argv[1:])
    if problem:
        sys.stderr.write(f"{problem}\n")
    sys.exit(1 if problem else 0)
