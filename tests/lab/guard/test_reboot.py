"""The self-fence by reboot, in a pid namespace, where reboot(2) ends the namespace and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fencing.guard import jobs
from fencing.guard.jobs import SelfFencer
from tests.lab.guard.guard_lab import ROOT, Lab, wait_for

pytestmark = pytest.mark.root

# Without the bind mount and the namespace this would reboot the machine: it looks before it leaps.
_INSIDE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fencing.guard.sys import reboot
trigger = Path("/proc/sysrq-trigger")
assert not trigger.exists() or trigger.read_text() == "marker", "SysRq is not covered"
assert os.readlink("/proc/self/ns/pid") != sys.argv[2], "not in a namespace of its own"
reboot()
"""
_COVER = 'test ! -e /proc/sysrq-trigger || mount --bind "$1" /proc/sysrq-trigger || exit 9; shift; "$@"; exit 0'


def test_reboot_takes_the_machine_down(lab: Lab) -> None:
    covered = lab.directory / "trigger"
    covered.write_text("marker")
    namespace = str(Path("/proc/self/ns/pid").readlink())
    inside = [sys.executable, "-I", "-S", "-c", _INSIDE, str(ROOT), namespace]
    ran = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "/bin/sh", "-c", _COVER, "sh", str(covered), *inside],
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Error" not in ran.stderr
    # The first process of the namespace is ended by a signal: SIGHUP for a restart.
    assert ran.returncode in (-signal.SIGHUP, 128 + signal.SIGHUP), ran
    if os.path.exists("/proc/sysrq-trigger"):  # noqa: PTH110
        assert covered.read_text() == "barker"


# reboot(2) without the right to it: no harm, wherever this runs.
_POWERLESS = """
import sys
sys.path.insert(0, sys.argv[1])
from fencing.guard.sys import may_reboot
print(may_reboot())
"""


def test_a_guard_that_cannot_reboot_says_so() -> None:
    argv = [sys.executable, "-I", "-S", "-c", _POWERLESS, str(ROOT)]
    for drop, says in (([], ""), (["setpriv", "--bounding-set=-sys_boot", "--inh-caps=-sys_boot"], "CAP_SYS_BOOT")):
        ran = subprocess.run([*drop, *argv], timeout=30, capture_output=True, text=True, check=True)
        assert (says in ran.stdout) and bool(ran.stdout.strip()) == bool(says), ran


@pytest.mark.parametrize("armed", [True, False])
def test_self_fence_by_the_watchdog_and_by_reboot_where_that_does_not_help(
    monkeypatch: pytest.MonkeyPatch, armed: bool
) -> None:
    """The reboot is a stand-in here: the test must outlive it."""
    did: list[str] = []
    rebooted = threading.Event()

    def reboot() -> str:
        did.append("reboot")
        rebooted.set()
        return ""

    def trigger_reset() -> str:
        did.append("reset")
        return ""

    monkeypatch.setattr(jobs, "reboot", reboot)
    monkeypatch.setattr(jobs, "_RESET_S", 0.2)
    fencer = SelfFencer(["watchdog"], lambda call: call(), did.append)
    if armed:
        fencer.trigger_reset = trigger_reset
    fencer.fence()
    assert rebooted.wait(20)
    assert did == (["reset", "reboot"] if armed else ["reboot"])


def test_a_watchdog_that_hangs_holds_nothing_up(lab: Lab) -> None:
    problems: list[str] = []
    release, said = threading.Event(), threading.Event()

    def trigger_reset() -> str:
        release.wait(5)
        return "no such device"

    def report(problem: str) -> None:
        problems.append(problem)
        said.set()

    trace = lab.directory / "began"
    fencer = SelfFencer(["command", "/bin/sh", "-c", f"echo >{trace}"], lambda call: call(), report)
    fencer.trigger_reset = trigger_reset
    fencer.fence()
    wait_for(trace.exists)
    assert not said.is_set()
    release.set()
    assert said.wait(20)
    assert problems == ["watchdog: no such device"]
