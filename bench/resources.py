"""`make bench-resources`: how soon a crashed resource is started again, and what many resources cost a daemon.

In a container with a real systemd, an etcd and one daemon. A crash: SIGKILL to the main process of a unit and of a
supervised process; *begun* is when the next process is in the control group, looked at every millisecond. The cost:
groups of a unit, a supervised process and an address each, monitored every 10 s; the daemon's share of one processor
once all of them run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from hactl.lab.system import run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/system"))

from controller import Controller, booted
from nspawn import until

CRASH_MS, CORE_PERCENT = 50.0, 5.0
DEADLINE_S, START_DEADLINE_S = 240.0, 900.0
_SHARE = "the daemon's share of a core while all of them run, percent"
_TICKS_S = os.sysconf("SC_CLK_TCK")
# More restarts than any run has: they are all in place.
_HEAD = "cluster: units\nnodes: [{name: n1, address: 127.0.0.1}]\ngroups:\n"
_CRASHING = """\
  - {name: unit, restarts: 100000, resources: [{name: it, systemd: {unit: bench@0.service}}]}
  - {name: process, restarts: 100000, resources: [{name: it, exec: {command: [/bin/sleep, "800000"]}}]}
"""
# Of the node's own, beside which the addresses can be.
_OWN = "10.9.255.1"
_MANY = """\
  - name: many%(number)d
    resources:
      - {name: unit, systemd: {unit: bench@%(number)d.service}}
      - {name: process, exec: {command: [/bin/sleep, "900000"]}}
      - {name: address, vip: {address: 10.9.%(high)d.%(low)d/16, interface: veth0}}
"""


def main() -> None:
    """Both parts; exit status 1 where a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, booted(Path(directory, "console"), _HEAD + _CRASHING) as container:
        container.machine.unit("bench@.service", "[Service]\nExecStart=/bin/sleep 700000\n")
        inside = ["nsenter", f"--net=/proc/{container.machine.leader}/ns/net", "ip", "link"]
        run([*inside, "add", "veth0", "type", "veth", "peer", "name", "veth1"])
        for name in ("veth0", "veth1"):
            run([*inside, "set", name, "up"])
        run([*inside[:-1], "address", "add", f"{_OWN}/16", "dev", "veth0"])
        said = container.machine.run("systemctl", "start", "etcd.service", "hactl.service")
        assert said == "", said
        until(container.runs, DEADLINE_S)
        figures: dict[str, Any] = {
            "crash of a unit to restart begun, ms": crashes(container, "unit", "700000", args.runs),
            "crash of a process to restart begun, ms": crashes(container, "process", "800000", args.runs),
        }
        figures |= cost(container, args)
    for name, value in figures.items():
        sys.stdout.write(f"{name}: {value}\n")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")
    crashed = [figure["median"] for figure in figures.values() if isinstance(figure, dict)]
    sys.exit(max(crashed) > CRASH_MS or figures[_SHARE] > CORE_PERCENT)


def crashes(container: Controller, name: str, mark: str, runs: int) -> dict[str, float]:
    """How long each took, in ms."""
    times = []
    for _ in range(runs):
        (place,) = container.pids("/bin/sleep", mark)
        old = _outer(container, place)
        group = Path(f"/proc/{old}/cgroup").read_text().rpartition("0::")[2].strip()
        procs = Path(_cgroup_mounts()[0] + group, "cgroup.procs")
        began = time.monotonic()
        os.kill(old, signal.SIGKILL)
        while not set(_words(procs)) - {str(old)}:
            assert time.monotonic() < began + DEADLINE_S, "it was not started again"
            time.sleep(0.001)
        times.append(1000 * (time.monotonic() - began))
        until(container.runs, DEADLINE_S)
        container.hactl("group", "cleanup", name)  # a restart after another one waits for longer
    return {"min": round(min(times), 1), "median": round(median(times), 1), "max": round(max(times), 1)}


def cost(container: Controller, args: argparse.Namespace) -> dict[str, float]:
    """How long all of them take to start, what that costs, and the daemon's share of a processor while they run."""
    numbers = range(1, args.groups + 1)
    groups = [_MANY % {"number": number, "high": number // 250, "low": number % 250 + 1} for number in numbers]
    container.write("/etc/hactl/many.yaml", _HEAD + _CRASHING + "".join(groups))
    stat = Path(f"{container.machine.root}/proc/{container.shown('MainPID')}/stat")
    before, began = _cpu_s(stat), time.monotonic()
    said = container.hactl("config", "apply", "/etc/hactl/many.yaml", "--skip-haproxy")
    assert "in use" in said, said
    until(lambda: container.runs() and len(container.status()["groups"]) > args.groups, START_DEADLINE_S)
    started = {
        f"{args.groups} groups of 3 resources, all started after, s": round(time.monotonic() - began, 1),
        "the daemon's processor time until then, s": round(_cpu_s(stat) - before, 1),
    }
    time.sleep(20.0)  # all that comes with a start is over
    before, began = _cpu_s(stat), time.monotonic()
    time.sleep(args.seconds)
    return started | {_SHARE: round(100 * (_cpu_s(stat) - before) / (time.monotonic() - began), 2)}


def _outer(container: Controller, pid: str) -> int:
    """The number that a process of the container has here."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            line = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:"))
        except (OSError, StopIteration):
            continue
        numbers = line.split()[1:]
        if len(numbers) > 1 and numbers[-1] == pid and _inside(container, numbers[0]):
            return int(numbers[0])
    raise AssertionError(f"process {pid} is not there")


def _inside(container: Controller, pid: str) -> bool:
    return Path(f"/proc/{pid}/ns/pid").readlink() == Path(f"/proc/{container.machine.leader}/ns/pid").readlink()


def _cgroup_mounts() -> list[str]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [fields[1] for fields in lines if fields[2] == "cgroup2"]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _cpu_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


if __name__ == "__main__":
    main()
