#!/usr/bin/python3 -IS
"""Process 1 of the virtual machine: a watchdog's module, a real guard, and something that plays its daemon.

The kernel's command line names the driver, the scenario and the lease. What happens is written to the serial line, a
JSON object a line; `tick` lines give the time until the very end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

sys.path.insert(0, "/opt/hactl")

from fencing.guard.client import GuardError, GuardSpec, GuardStatus, spawn
from fencing.guard.proc import read_stat
from fencing.guard.sys import read_file
from fencing.linux.clock import now
from tests.support.guard_client import GuardClient

LIBC = ctypes.CDLL(None, use_errno=True)
FINIT_MODULE = 313
HEARTBEAT_S = 0.25
TICK_S = 0.02
# Longer than any watchdog that is fed in here is set to.
LIVES_S = 13.0
RB_POWER_OFF = 0x4321FEDC
SESSION_ID = "guest"


def tell(event: str, **fields: object) -> None:
    """A line to the host."""
    os.write(1, json.dumps({"event": event, "boot": now().boot, **fields}).encode() + b"\n")


def mount() -> None:
    """The mounts that an init does at least."""
    for kind, place in (("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
        if LIBC.mount(kind.encode(), place.encode(), kind.encode(), 0, None):
            raise OSError(ctypes.get_errno(), f"mount {place}")
    serial = os.open("/dev/ttyS1", os.O_WRONLY | os.O_NOCTTY)
    os.dup2(serial, 1)
    os.environ["PATH"] = "/usr/bin"


def load(driver: str) -> None:
    """The driver and its options: `NAME,OPTION=VALUE`."""
    name, *options = driver.split(",")
    for module, argument in (("watchdog", ""), (name, " ".join(options))):
        handle = os.open(f"/modules/{module}.ko", os.O_RDONLY)
        if LIBC.syscall(FINIT_MODULE, handle, argument.encode(), 0):
            raise OSError(ctypes.get_errno(), f"load {module}")
        os.close(handle)


class Daemon:
    """The daemon's part, in a process of its own: a session renewed each heartbeat, and one thing registered."""

    def __init__(self, spec: GuardSpec, plan: dict[str, Any]) -> None:
        self.lease_ms, self.budgets = plan["lease_ms"], (plan["stop_budget_ms"], plan["self_fence_lead_ms"])
        self.client = GuardClient(spec.socket, 30.0)
        self.client.adopt()
        self.client.begin(SESSION_ID, *self.budgets, now().plus(self.lease_ms))

    def register(self, stoppable: bool) -> None:
        """Register a process and the step that stops it; or a step that cannot stop anything."""
        step: dict[str, Any] = {"kind": "command", "argv": ["/usr/bin/no-such-program"], "timeout_ms": 100}
        if stoppable:
            argv = [sys.executable, "-IS", "-c", "import time; time.sleep(600)"]
            process = subprocess.Popen(argv, start_new_session=True)
            stat = read_stat(process.pid)
            assert stat is not None
            step = {"kind": "pid", "pid": process.pid, "start_time": stat.start_time}
        self.renew()
        self.client.register("thing", [step])

    def renew(self) -> None:
        """A renewal that succeeded."""
        self.client.extend(SESSION_ID, *self.budgets, now().plus(self.lease_ms))

    def run(self, plan: dict[str, Any], release: int) -> None:
        """Renew until told to release the registered resource; then go on without it."""
        self.register(plan["scenario"] != "unstoppable")
        poll = select.poll()
        poll.register(release, select.POLLIN)
        while not poll.poll(HEARTBEAT_S * 1000):
            self.renew()
        self.client.unregister("thing")
        while True:
            self.renew()
            time.sleep(HEARTBEAT_S)


def main() -> None:
    """Play the plan."""
    mount()
    plan = json.loads(bytes.fromhex(read_file("/proc/cmdline").split("hactl.plan=")[1].split()[0]))
    load(plan["driver"])
    fence = ("watchdog",) if plan["scenario"] == "unstoppable" else ("log",)
    spec = GuardSpec("/run/guard.sock", "/run", log="/dev/ttyS0", self_fence=fence, watchdog="required")
    spawn(spec, 120.0)
    told, release = os.pipe()
    daemon = os.fork()
    if not daemon:
        os.close(release)
        with contextlib.suppress(GuardError):  # as a real one ends when its guard has died
            Daemon(spec, plan).run(plan, told)
        os._exit(0)
    threading.Thread(target=tick, daemon=True).start()
    look = GuardClient(spec.socket, 60.0)
    await_exclusive(look, True)
    time.sleep(plan["lease_ms"] / 1000 * 1.5)
    tell("fed", watchdog=look.status().watchdog)
    play(plan["scenario"], look, daemon, release)
    LIBC.reboot(RB_POWER_OFF)


def await_exclusive(look: GuardClient, exclusive: bool) -> GuardStatus:
    """Wait until something exclusive is registered with the guard, or nothing any more."""
    while bool((status := look.status()).exclusive) is not exclusive:
        time.sleep(0.05)
    return status


def play(scenario: str, look: GuardClient, daemon: int, release: int) -> None:
    """Stop, kill or release what the scenario says, and wait longer than the watchdog would. `daemon` is its process;
    it releases what it has registered when `release` is closed."""
    status = look.status()
    match scenario:
        case "guard-killed":
            os.kill(status.pid, signal.SIGKILL)
        case "all-frozen":
            os.kill(daemon, signal.SIGSTOP)
            os.kill(status.pid, signal.SIGSTOP)
        case "daemon-silent" | "unstoppable":
            os.kill(daemon, signal.SIGSTOP)
            status = look.status()
        case "clean-end":
            os.close(release)
            await_exclusive(look, False)
            os.kill(status.pid, signal.SIGTERM)
    assert status.valid_until is not None
    tell("done", until=status.valid_until.boot)
    if scenario == "daemon-silent":
        tell("stopped", phase=await_exclusive(look, False).phase)
    time.sleep(LIVES_S)
    if scenario == "daemon-silent":
        tell("lives", watchdog=look.status().watchdog)


def tick() -> None:
    """The time, until the end."""
    while True:
        tell("tick")
        time.sleep(TICK_S)


try:
    main()
except BaseException:
    tell("failed", why=traceback.format_exc())
    LIBC.reboot(RB_POWER_OFF)
