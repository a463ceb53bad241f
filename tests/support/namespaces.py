"""Network namespaces for the tests of addresses."""

from __future__ import annotations

import ctypes
import subprocess
import threading
from collections.abc import Callable
from typing import Any

CLONE_NEWNET = 0x40000000
DEADLINE_S = 20.0


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def multicast_works(namespace: str) -> bool:
    """Some time after a link is up. Until then the kernel drops neighbour advertisements."""
    return "multicast ff00::/8" in ip("-n", namespace, "-6", "route", "show", "table", "local")


def inside(namespace: str, function: Callable[[], Any]) -> Any:
    """Call `function` on a thread that is in the network namespace."""
    result: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with open(f"/run/netns/{namespace}") as handle:  # noqa: PTH123
                assert ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) == 0
            result.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]
