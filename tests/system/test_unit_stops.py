"""A unit whose stop does not come to an end, or leaves something, is killed: by the daemon and by the guard."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from controller import ROOT, Controller
from nspawn import Machine, booted_machine, until

MARK = "770077"
SLEEP = f"/bin/sleep {MARK}"
STUBBORN = f"/bin/sh -c 'trap \"\" TERM; while :; do {SLEEP} & wait; done'"
MOVES = (
    "/bin/sh -c 'own=/sys/fs/cgroup$$(cut -d: -f3 /proc/self/cgroup); mkdir $$own/below; "
    f'echo $$$$ > $$own/below/cgroup.procs; trap "" TERM; while :; do {SLEEP} & wait; done\''
)
HANGS = {
    "a stop command that hangs": f"ExecStart={SLEEP}\nExecStop={SLEEP}\nTimeoutStopSec=infinity",
    "a longer deadline than ours": f"ExecStart={STUBBORN}\nTimeoutStopSec=1h",
    "a command after its end that hangs": f"ExecStart={SLEEP}\nExecStopPost={SLEEP}\nTimeoutStopSec=1h",
    "no kill": f"ExecStart={SLEEP}\nKillMode=none",
    "no kill, and it is stubborn": f"ExecStart={STUBBORN}\nKillMode=none\nSendSIGKILL=no",
    "a kill of its main process": f"ExecStart=/bin/sh -c '{SLEEP} & exec {SLEEP}'\nKillMode=process",
    "no SIGKILL": f"ExecStart={STUBBORN}\nSendSIGKILL=no\nTimeoutStopSec=1s",
    "a control group of its own below": f"ExecStart={MOVES}\nDelegate=yes\nTimeoutStopSec=1h",
    "always started again": f"ExecStart={STUBBORN}\nRestart=always\nRestartSec=0\nTimeoutStopSec=1h",
}
BY_GUARD = """
import time
from fencing.guard.stop import attempt
until = time.monotonic() + 10
while problem := attempt({"kind": "unit", "unit": "hangs.service"}):
    assert time.monotonic() < until, problem
print("stopped")
"""
BY_DAEMON = """
import asyncio, contextlib
from hactl.model.resources import SystemdOptions, SystemdSpec
from hactl.linux.errors import OperationError
from hactl.resources.base import NodeContext
from hactl.resources.systemd import Unit
async def main():
    unit = Unit(SystemdSpec(name="hangs", options=SystemdOptions(unit="hangs")), NodeContext("n1", "/run/hactl", None))
    with contextlib.suppress(OperationError, TimeoutError):
        await asyncio.wait_for(unit.stop(), 0.5)
    async with asyncio.timeout(10):
        await unit.kill()
    print((await unit.probe()).health)
asyncio.run(main())
"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> object:
    binds = [ROOT, Path(sys.base_prefix), Path(sys.prefix)]
    with booted_machine(tmp_path_factory.mktemp("stops") / "console", binds) as machine:
        yield machine


def left(machine: Machine) -> list[str]:
    return Controller(machine).pids("/bin/sleep", MARK)


@pytest.mark.parametrize("by", [BY_GUARD, BY_DAEMON], ids=["guard", "daemon"])
@pytest.mark.parametrize("how", HANGS)
def test_it_is_killed(inside: Machine, how: str, by: str) -> None:
    inside.unit("hangs.service", f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{HANGS[how]}\n")
    assert inside.run("systemctl", "start", "hangs.service") == ""
    until(lambda: left(inside))
    assert inside.run(sys.executable, "-c", by) == "stopped\n"
    assert left(inside) == []
    state = inside.run("systemctl", "show", "--property=ActiveState", "--value", "hangs.service").strip()
    assert state == "inactive", "it has not failed: it was killed"
