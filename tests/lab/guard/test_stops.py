"""The guard's stops on real cgroups, addresses and files, and the self-fence when one of them fails."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.guard.proc import read_stat
from tests.lab.guard.guard_lab import ROOT, Lab, boot_ms, wait_for

pytestmark = pytest.mark.root

CPU = min(os.sched_getaffinity(0))


def sh(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout


@pytest.fixture
def netns(lab: Lab) -> Iterator[str]:
    """A network namespace with a veth pair (va up, with addresses; vb its other end)."""
    name = lab.cgroup.name[-15:]
    sh("ip", "netns", "add", name)
    try:
        sh("ip", "-n", name, "link", "add", "va", "type", "veth", "peer", "name", "vb")
        for link in ("lo", "va", "vb"):
            sh("ip", "-n", name, "link", "set", link, "up")
        sh("ip", "-n", name, "address", "add", "192.0.2.10/24", "dev", "va")
        yield name
    finally:
        sh("ip", "netns", "delete", name)


def addresses(netns: str) -> set[str]:
    links = json.loads(sh("ip", "-n", netns, "-j", "address", "show"))
    return {f"{a['local']}/{a['prefixlen']}" for link in links for a in link["addr_info"]}


def guard_in_netns(lab: Lab, netns: str) -> subprocess.Popen[str]:
    """A guard started by its own command line, not detached, in the namespace."""
    argv = ["nsenter", f"--net=/run/netns/{netns}", str(Path(sys.executable).parent / "hactl-guard")]
    process = subprocess.Popen([*argv, *lab.spec.arguments()], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    lab.processes.append(process)
    wait_for(lambda: Path(lab.spec.socket).exists())
    return process


def test_addresses_and_files_are_gone_after_the_deadline(lab: Lab, netns: str) -> None:
    sh("ip", "-n", netns, "address", "add", "192.0.2.100/32", "dev", "va")
    sh("ip", "-n", netns, "address", "add", "198.51.100.7/24", "dev", "vb")
    sh("ip", "-n", netns, "address", "add", "2001:db8::100/64", "dev", "va", "nodad")
    sh("ip", "-n", netns, "address", "add", "2001:db8::10/64", "dev", "va", "nodad")
    manifest = lab.directory / "pod.yaml"
    manifest.write_text("x")
    guard_in_netns(lab, netns)

    def address(interface: str, text: str, prefix: int) -> dict[str, Any]:
        return {"kind": "address", "interface": interface, "address": text, "prefix": prefix}

    daemon, seen = lab.daemon(
        register={
            "vip4": [address("va", "192.0.2.100", 32)],
            # Put there with another prefix than the configuration says: it has to go all the same.
            "vip4b": [address("vb", "198.51.100.7", 32)],
            "vip6": [address("va", "2001:db8::100", 128)],
            "gone": [address("absent0", "192.0.2.99", 24)],
            "never": [address("va", "192.0.2.98", 24)],
            "pod": [{"kind": "unlink", "path": str(manifest)}],
        }
    )
    assert {"192.0.2.100/32", "198.51.100.7/24", "2001:db8::100/64"} <= addresses(netns)
    daemon.kill()
    record = lab.record("stopped")
    assert boot_ms() < lab.status().valid_until.boot  # type: ignore[union-attr]
    assert record["names"] == sorted(seen["exclusive"])
    left = {text for text in addresses(netns) if not text.startswith("fe80")}
    assert left == {"127.0.0.1/8", "::1/128", "192.0.2.10/24", "2001:db8::10/64"}
    assert not manifest.exists()
    assert not lab.trace.exists()


def test_a_frozen_resource_is_killed(lab: Lab) -> None:
    lab.spawn_guard()
    resource, step = lab.resource("db")
    (lab.cgroup / "res" / "db" / "cgroup.freeze").write_text("1")
    daemon, _ = lab.daemon(register={"db": [step]})
    daemon.kill()
    assert resource.wait(10) == -signal.SIGKILL
    lab.record("stopped")


def test_an_agent_of_the_daemons_cannot_put_anything_back(lab: Lab) -> None:
    """The daemon is stopped, its agent goes on writing: it dies with the daemon, before the stop counts."""
    lab.spawn_guard()
    path = lab.directory / "held"
    agent = ["/bin/sh", "-c", f"trap '' TERM; while :; do echo x > {path}; sleep 0.002; done"]
    daemon, _ = lab.daemon(register={"f": [{"kind": "unlink", "path": str(path)}]}, agents=[["setsid", *agent]])
    wait_for(path.exists)
    daemon.send_signal(signal.SIGSTOP)
    lab.record("stopped")
    assert not path.exists()
    assert "populated 0" in (lab.cgroup / "daemon" / "cgroup.events").read_text()


def test_a_daemon_that_comes_back_in_another_cgroup_is_killed_there(lab: Lab) -> None:
    """So are the processes that the one before it left in the old cgroup. Neither's agent is a descendant of a daemon's
    any more."""
    lab.spawn_guard()
    agent = ["setsid", "--fork", "sleep", "600"]
    places = [lab.cgroup / name for name in ("daemon", "moved")]
    _, step = lab.resource("db")
    first, _ = lab.daemon(register={"db": [step]}, agents=[agent])
    wait_for(lambda: len((places[0] / "cgroup.procs").read_text().split()) == 2)
    first.kill()
    first.wait()
    wait_for(lambda: lab.status().daemon_pid is None)
    second, _ = lab.daemon(cgroup="moved", agents=[agent])
    wait_for(lambda: len((places[1] / "cgroup.procs").read_text().split()) == 2)
    second.send_signal(signal.SIGSTOP)
    lab.record("stopped")
    assert ["populated 0" in (place / "cgroup.events").read_text() for place in places] == [True, True]


def test_without_cgroups_the_daemon_and_its_processes_are_killed(lab: Lab) -> None:
    lab.spawn_guard()
    path = lab.directory / "held"
    mark = lab.directory / "pid"
    agent = ["/bin/sh", "-c", f"echo $$ > {mark}; while :; do echo x > {path}; sleep 0.01; done"]
    steps = [{"kind": "unlink", "path": str(path)}]
    daemon, _ = lab.daemon(told=False, register={"f": steps}, agents=[["setsid", *agent]])
    wait_for(path.exists)
    daemon.send_signal(signal.SIGSTOP)
    lab.record("stopped")
    assert daemon.wait(5) == -signal.SIGKILL
    assert not path.exists()
    stat = read_stat(int(mark.read_text()))
    assert stat is None or stat.dead


def test_a_stop_that_cannot_be_verified_ends_in_a_self_fence_and_delays_no_other(lab: Lab) -> None:
    lab.stop_budget_ms, lab.lease_ms = 700, 1200
    lab.spawn_guard()
    resource, step = lab.resource("db")
    daemon, _ = lab.daemon(
        register={
            "hangs": [{"kind": "command", "argv": ["sleep", "60"], "timeout_ms": 60_000}],
            "fails": [{"kind": "command", "argv": ["false"], "timeout_ms": 100}],
            "lies": [
                {"kind": "command", "argv": ["true"], "timeout_ms": 100, "verify": ["false"]},
            ],
            "db": [step],
        }
    )
    daemon.kill()
    daemon.wait()
    until = lab.status().valid_until
    assert until is not None
    resource.wait(10)
    assert boot_ms() < until.boot - lab.self_fence_lead_ms
    boot, raw = map(float, wait_for(lambda: lab.trace.exists() and lab.trace.read_text()).split())
    lead = lab.self_fence_lead_ms
    assert boot >= until.boot - lead
    assert raw >= until.raw - lead
    assert boot < until.boot + 1000
    record = lab.record("self-fence")
    assert set(record["problems"]) == {"hangs", "fails", "lies"}
    assert all(name in record["reason"] for name in ("hangs", "fails", "lies"))
    assert lab.status().phase == "fenced"


def test_a_self_fence_that_fails_is_tried_again(lab: Lab) -> None:
    count = lab.directory / "count"
    lab.spawn_guard(self_fence=("command", "/bin/sh", "-c", f"echo x >> {count}; test -e {count}.enough"))
    daemon, _ = lab.daemon(register={"fails": [{"kind": "command", "argv": ["false"], "timeout_ms": 100}]})
    daemon.kill()
    wait_for(lambda: count.exists() and len(count.read_text().split()) >= 2)
    Path(f"{count}.enough").touch()
    assert lab.events("self_fence_failed")


def test_a_guard_holds_its_deadline_beside_hogs_on_its_processor(lab: Lab) -> None:
    """The daemon and the guard share one processor with busy processes that leave ordinary ones next to
    nothing."""
    lab.lease_ms, lab.stop_budget_ms, lab.self_fence_lead_ms = 1500, 400, 50
    pid = lab.spawn_guard()
    if any("real-time" in problem for problem in lab.status().degraded):
        pytest.skip("no real-time priority to be had here")
    resource, step = lab.resource("db")
    slow = {"kind": "command", "argv": ["true"], "timeout_ms": 5000}
    daemon, _ = lab.daemon(register={"db": [step], "command": [slow]}, renew=False)
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {CPU})
    os.sched_setaffinity(daemon.pid, {CPU})
    # The kernel keeps a twentieth for ordinary processes: the second kind of hog uses that up.
    spin = ["/bin/sh", "-c", "while :; do :; done"]
    kinds = [["chrt", "--rr", "1"], *[["nice", "-n", "-20"]] * 4]
    hogs = [lab.run_in("res/hogs", ["taskset", "-c", str(CPU), *kind, *spin]) for kind in kinds]
    try:
        until = lab.status().valid_until
        assert until is not None
        resource.wait(15)
        assert boot_ms() < until.boot
        record = lab.record("stopped")
        assert record["took_ms"] < lab.stop_budget_ms - lab.self_fence_lead_ms
        assert not lab.trace.exists()
    finally:
        for hog in hogs:
            with contextlib.suppress(ProcessLookupError):
                hog.kill()


def test_a_stopped_guard_that_wakes_past_every_deadline_fences_its_node(lab: Lab) -> None:
    """As after a suspend: it stops and fences at once; a renewal made meanwhile is too late."""
    pid = lab.spawn_guard()
    _, step = lab.resource("db")
    _daemon, seen = lab.daemon(register={"db": [step]}, renew=False)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: boot_ms() > seen["valid_until"][0] + 50)
    os.kill(pid, signal.SIGCONT)
    wait_for(lab.trace.exists)
    assert lab.record("self-fence")["names"] == ["db"]
