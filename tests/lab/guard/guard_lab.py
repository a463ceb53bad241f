"""A guard, stand-in daemons and resources as real processes in cgroups of their own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fencing.guard import client as guard_client
from fencing.guard.client import GuardSpec
from fencing.linux.clock import now
from tests.support.guard_client import GuardClient

ROOT = Path(guard_client.__file__).resolve().parents[2]
_NUMBERS = itertools.count(1)


def cgroup2_mount() -> Path | None:
    """Where cgroup v2 is mounted, if it has cgroup.kill."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def wait_for(true: Callable[[], Any], within_s: float = 15.0) -> Any:
    """Poll until `true()` is, and return it."""
    until = time.monotonic() + within_s
    while not (value := true()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)
    return value


class Lab:
    """One test's cgroups, guard and processes. Times in ms."""

    lease_ms, stop_budget_ms, self_fence_lead_ms = 1000, 500, 150

    def __init__(self, directory: Path, cgroup: Path) -> None:
        self.directory, self.cgroup = directory, cgroup
        self.processes: list[subprocess.Popen[str]] = []
        for name in ("guard", "daemon", "res"):
            (cgroup / name).mkdir(parents=True)
        self.trace = directory / "fenced"
        self.spec = GuardSpec(
            socket=str(directory / "sock"),
            state_dir=str(directory),
            cgroups=(str(cgroup / "guard"),),
            # The lab's power switch leaves the time on both clocks.
            self_fence=("command", sys.executable, "-S", "-c", _POWER_SWITCH, str(self.trace)),
            log=str(directory / "log"),
        )

    def spawn_guard(self, **changes: Any) -> int:
        """Start a guard as a daemon would; returns its pid."""
        self.spec = GuardSpec(**{**_fields(self.spec), **changes})
        guard_client.spawn(self.spec)
        return self.status().pid

    def status(self) -> guard_client.GuardStatus:
        """The guard's status."""
        with GuardClient(self.spec.socket, 5.0) as client:
            return client.status()

    def run_in(self, cgroup: str, argv: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start a process in one of the lab's cgroups."""
        place = self.cgroup / cgroup
        place.mkdir(exist_ok=True)
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'echo 0 > "$1"; shift; exec "$@"', "enter", f"{place}/cgroup.procs", *argv],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            **options,
        )
        self.processes.append(process)
        return process

    def resource(self, name: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """A process in a cgroup of its own, and the step that stops it."""
        process = self.run_in(f"res/{name}", ["sleep", "600"])
        place = self.cgroup / "res" / name
        wait_for(lambda: str(process.pid) in (place / "cgroup.procs").read_text().split())
        return process, {"kind": "cgroup", "path": str(place)}

    def daemon(self, **plan: Any) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start a stand-in daemon, wait until it holds the guard; returns it and the status it saw."""
        process = self.start_daemon(**plan)
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        assert poll.poll(20_000)
        line = process.stdout.readline()
        assert line, f"the stand-in ended with {process.wait(5)}"
        return process, json.loads(line)

    def start_daemon(self, cgroup: str = "daemon", told: bool = True, **plan: Any) -> subprocess.Popen[str]:
        """Start a stand-in daemon. `told`: it tells the guard in what cgroup it is."""
        where = str(self.cgroup / cgroup) if told else None
        path = self.directory / f"plan{next(_NUMBERS)}.json"
        times = {name: getattr(self, name) for name in ("lease_ms", "stop_budget_ms", "self_fence_lead_ms")}
        path.write_text(json.dumps({"spec": {**_fields(self.spec), "daemon_cgroup": where}, **times, **plan}))
        argv = [sys.executable, str(Path(__file__).parent / "stand_in.py"), str(path)]
        return self.run_in(cgroup, argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def events(self, name: str) -> list[dict[str, Any]]:
        """The guard's log lines of one event."""
        lines = Path(self.spec.log or "").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def record(self, outcome: str) -> dict[str, Any]:
        """Wait for the record of the latched stop to say `outcome`."""

        def look() -> dict[str, Any] | None:
            record = guard_client.read_stop_record(self.spec.state_dir)
            return record if record and record["outcome"] == outcome else None

        record: dict[str, Any] = wait_for(look)
        return record

    def close(self) -> None:
        """Kill everything and remove the cgroups."""
        with contextlib.suppress(OSError):
            (self.cgroup / "cgroup.kill").write_text("1")
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(10)
            if process.stdout:
                process.stdout.close()
        events = self.cgroup / "cgroup.events"
        wait_for(lambda: "populated 0" in events.read_text())
        for place, _, _ in sorted(os.walk(self.cgroup), reverse=True):
            Path(place).rmdir()


_POWER_SWITCH = (
    "import sys, time; open(sys.argv[1], 'w').write(f'{time.clock_gettime(7) * 1000} {time.clock_gettime(4) * 1000}')"
)


def _fields(spec: GuardSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in GuardSpec.__slots__}


def boot_ms() -> float:
    """Now on the boot clock."""
    return now().boot
