"""The guard's stop steps: what is refused at registration, and stops of real files, processes and commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fencing.guard.stop import attempt, check
from fencing.guard.sys import Timer
from fencing.linux.clock import now


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "unlink", "path": "/run/x"},
        {"kind": "pid", "pid": 77, "start_time": 1},
        {"kind": "address", "interface": "eth0", "address": "192.0.2.1", "prefix": 24},
        {"kind": "address", "interface": "eth0", "address": "2001:db8::1", "prefix": 64},
        {"kind": "unit", "unit": "getty@tty1.service"},
        {"kind": "mount", "directory": "/srv/db", "source": "/dev/vg0/db", "device": "/dev/vg0/db"},
        {"kind": "mount", "directory": "/srv/db", "source": "server:/export", "device": None},
        {"kind": "command", "argv": ["/bin/true"], "timeout_ms": 100},
        {
            "kind": "command",
            "argv": ["true", "-x"],
            "timeout_ms": 100,
            "verify": ["/bin/true"],
            "env": {"A": "b"},
        },
    ],
)
def test_steps_that_can_work_are_accepted(step: dict[str, Any]) -> None:
    assert check(step) == ""


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"kind": "bomb"},
        {"kind": ["unlink"], "path": "/x"},
        {"kind": "unlink"},
        {"kind": "unlink", "path": "run/x"},
        {"kind": "unlink", "path": "/run/../x"},
        {"kind": "unlink", "path": "/run/x", "force": True},
        {"kind": "pid", "pid": 1, "start_time": 1},
        {"kind": "pid", "pid": -1, "start_time": 1},
        {"kind": "pid", "pid": 77},
        {"kind": "address", "interface": "eth0", "address": "192.0.2.300", "prefix": 24},
        {"kind": "address", "interface": "eth0/..", "address": "192.0.2.3", "prefix": 24},
        {"kind": "address", "interface": "a-name-far-too-long", "address": "192.0.2.3", "prefix": 24},
        {"kind": "address", "interface": "eth0", "address": "192.0.2.3"},
        {"kind": "unit", "unit": "--force"},
        {"kind": "unit", "unit": "x.service y.service"},
        {"kind": "mount", "directory": "srv/db", "source": "/dev/vg0/db", "device": "/dev/vg0/db"},
        {"kind": "mount", "directory": "/srv/db", "source": "", "device": "/dev/vg0/db"},
        {"kind": "mount", "directory": "/srv/db", "source": "/dev/vg0/db", "device": "vg0/db"},
        {"kind": "mount", "directory": "/srv/db"},
        {"kind": "command", "argv": [], "timeout_ms": 100},
        {"kind": "command", "argv": "/bin/true", "timeout_ms": 100},
        {"kind": "command", "argv": ["/bin/true"]},
        {"kind": "command", "argv": ["/bin/true"], "timeout_ms": 0},
        {"kind": "command", "argv": ["/bin/true"], "timeout_ms": 100, "verify": "x"},
        {"kind": "command", "argv": ["/bin/true"], "timeout_ms": 100, "env": {"A": 1}},
        {"kind": "cgroup", "path": "/nowhere/at/all"},
    ],
)
def test_steps_that_could_never_work_are_refused(step: dict[str, Any]) -> None:
    assert check(step)


def test_a_file_is_removed_and_an_absent_one_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text("x")
    assert attempt({"kind": "unlink", "path": str(path)}) == ""
    assert not path.exists()
    assert attempt({"kind": "unlink", "path": str(path)}) == ""


def test_a_directory_in_the_place_of_a_file_is_not_stopped(tmp_path: Path) -> None:
    assert attempt({"kind": "unlink", "path": str(tmp_path)})


def test_the_timer_fires_on_the_earlier_clock() -> None:
    timer, start = Timer(), now()
    deadline = start.plus(60)._replace(boot=start.boot + 60_000)
    woken = 0
    while now().raw < deadline.raw:
        timer.arm(deadline, now())
        wait_readable(timer.fd)
        timer.drain()
        woken += 1
    assert woken < 20
    os.close(timer.fd)


def wait_readable(fd: int) -> None:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(5000)
