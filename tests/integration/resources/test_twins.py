"""Which processes run the command of a resource though hactl did not start them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hactl.resources.twins import twins


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(stack: ExitStack, argv: list[str], **more: object) -> int:
    process = subprocess.Popen(argv, **more)  # type: ignore[call-overload]
    stack.callback(process.wait)
    stack.callback(process.kill)
    while argv[-1].encode() not in (words := Path(f"/proc/{process.pid}/cmdline").read_bytes()) or b"unshare" in words:
        time.sleep(0.001)  # there is a moment without a command line after it was begun
    return int(process.pid)


def test_real_processes(running: ExitStack, tmp_path: Path) -> None:
    mark = f"twin-{os.getpid()}"
    argv = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    wanted = {"any": (argv, None), "here": (argv, str(tmp_path)), "other": ([*argv, "more"], None)}
    assert twins(wanted) == {}
    first, second = start(running, argv), start(running, argv, cwd=tmp_path)
    start(running, argv, env={**os.environ, "HACTL_NODE": "n1"})
    assert {key: sorted(pids) for key, pids in twins(wanted).items()} == {
        "any": sorted((first, second)),
        "here": [second],
    }


@pytest.mark.root
def test_a_process_in_another_namespace_is_no_twin(running: ExitStack) -> None:
    argv = ["/bin/sleep", f"600.{os.getpid()}"]
    start(running, ["unshare", "--net", *argv])
    plain = start(running, argv)
    assert twins({"it": (argv, None)}) == {"it": [plain]}
