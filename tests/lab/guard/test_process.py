"""The guard as a process: it outlives the daemon, holds the deadline, and cannot be talked out of it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fencing.guard.client import GuardError, forget_stop_record, read_stop_record, spawn
from fencing.guard.proc import read_stat
from tests.lab.guard.guard_lab import Lab, boot_ms, wait_for
from tests.support.guard_client import GuardClient, GuardRefusedError

pytestmark = pytest.mark.root


def ended(process: subprocess.Popen[str]) -> Any:
    return process.poll() is not None


def silence(lab: Lab, daemon: subprocess.Popen[str], fault: str) -> None:
    if fault == "frozen":
        (lab.cgroup / "daemon" / "cgroup.freeze").write_text("1")
        wait_for(lambda: "frozen 1" in (lab.cgroup / "daemon" / "cgroup.events").read_text())
    else:
        daemon.send_signal({"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}[fault])


@pytest.mark.parametrize("fault", ["killed", "stopped", "frozen"])
def test_resources_of_a_silent_daemon_are_stopped_in_time(lab: Lab, fault: str) -> None:
    lab.spawn_guard()
    resource, step = lab.resource("db")
    daemon, _ = lab.daemon(register={"db": [step]})
    # Renewed past its first lease: it lives by its renewals.
    wait_for(lambda: lab.status().valid_until.boot > boot_ms() + lab.lease_ms - 200)  # type: ignore[union-attr]
    silence(lab, daemon, fault)
    until = lab.status().valid_until
    assert until is not None
    assert resource.poll() is None
    wait_for(lambda: ended(resource))
    died = boot_ms()
    assert died >= until.boot - lab.stop_budget_ms
    assert died <= until.boot
    assert daemon.wait(5) == -signal.SIGKILL
    record = lab.record("stopped")
    assert record["names"] == ["db"]
    assert record["sid"] == "s1"
    assert not lab.trace.exists()
    assert read_stop_record(lab.spec.state_dir) == record
    forget_stop_record(lab.spec.state_dir)
    assert read_stop_record(lab.spec.state_dir) is None


def test_the_next_daemon_takes_the_deadline_from_the_guard_and_goes_on(lab: Lab) -> None:
    lab.lease_ms = 2500
    lab.spawn_guard()
    resource, step = lab.resource("db")
    first, seen = lab.daemon(register={"db": [step]}, renew=False)
    assert seen["incarnation"] == 1
    first.kill()
    first.wait()
    wait_for(lambda: lab.status().daemon_pid is None)
    second, taken = lab.daemon()
    assert taken["incarnation"] == 2
    assert taken["valid_until"] == seen["valid_until"]
    assert (taken["session_id"], taken["exclusive"], taken["phase"]) == ("s1", ["db"], "holding")
    wait_for(lambda: boot_ms() > seen["valid_until"][0] + 100)
    assert resource.poll() is None
    assert second.poll() is None


def test_the_guard_survives_the_kill_of_the_daemon_that_started_it(lab: Lab) -> None:
    _, step = lab.resource("db")
    daemon, status = lab.daemon(spawn=True, register={"db": [step]})
    stat = read_stat(status["pid"])
    assert stat is not None
    assert stat.parent != daemon.pid
    os.killpg(daemon.pid, signal.SIGKILL)
    (lab.cgroup / "daemon" / "cgroup.kill").write_text("1")
    daemon.wait(5)
    assert lab.status().pid == status["pid"]
    assert lab.status().exclusive == ("db",)


def test_a_daemon_learns_at_once_that_its_guard_died(lab: Lab) -> None:
    pid = lab.spawn_guard()
    daemon, _ = lab.daemon(renew_ms=60_000)
    os.kill(pid, signal.SIGKILL)
    assert daemon.wait(10) == 7


def test_a_guard_that_was_killed_leaves_no_socket_in_the_way(lab: Lab) -> None:
    pid = lab.spawn_guard()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: read_stat(pid) is None)
    with pytest.raises(GuardError, match="no guard"):
        GuardClient(lab.spec.socket)
    assert lab.spawn_guard() != pid
    assert lab.status().incarnation == 0


def test_there_is_one_guard_and_it_serves_one_daemon(lab: Lab) -> None:
    lab.spawn_guard()
    with pytest.raises(GuardError, match="another guard is running"):
        spawn(lab.spec)
    first, _ = lab.daemon()
    with GuardClient(lab.spec.socket) as second:
        with pytest.raises(GuardRefusedError, match=f"serves another daemon: process {first.pid}"):
            second.adopt()
        with pytest.raises(GuardRefusedError, match="adopt first"):
            second.unregister("db")
        assert second.status().incarnation == 1
        first.kill()
        first.wait()
        assert second.adopt().incarnation == 2


def test_a_socket_left_to_a_child_does_not_keep_the_next_daemon_out(lab: Lab) -> None:
    """The first daemon dies while a child of its holds the connection open."""
    lab.spawn_guard()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        first = GuardClient(lab.spec.socket)
        first.adopt()
        grandchild = os.fork()
        if grandchild == 0:
            os.close(writer)
            signal.pause()
        os.write(writer, f"{grandchild}\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
    grandchild = int(os.read(reader, 20))
    try:
        with GuardClient(lab.spec.socket) as second:
            assert second.adopt().incarnation == 2
    finally:
        os.kill(grandchild, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_nothing_cancels_a_deadline_that_has_come(lab: Lab) -> None:
    """A stop that takes a while; meanwhile the next daemon comes, and renews as if nothing were."""
    lab.stop_budget_ms, lab.lease_ms = 1500, 2000
    lab.spawn_guard()
    slow = {"kind": "command", "argv": ["sleep", "0.6"], "timeout_ms": 5000}
    first, seen = lab.daemon(register={"slow": [slow]}, renew=False)
    assert first.wait(10) == -signal.SIGKILL
    wait_for(lambda: lab.events("daemon_killed"))
    second, taken = lab.daemon(lease_ms=60_000, renew_ms=50)
    assert taken["phase"] == "stopping"
    assert second.wait(10) == 8
    lab.record("stopped")
    status = lab.status()
    assert status.valid_until is not None
    assert list(status.valid_until) == seen["valid_until"]
    assert status.phase == "stopped"
    with GuardClient(lab.spec.socket) as third:
        assert third.adopt().phase == "stopped"
        with pytest.raises(GuardRefusedError, match="deadline"):
            third.register("db", [slow])


def test_a_daemon_has_the_node_taken_down(lab: Lab) -> None:
    work, step = lab.resource("r")
    lab.spawn_guard()
    daemon, _ = lab.daemon(register={"r": [step]}, fence="it does not stop")
    wait_for(lab.trace.exists)
    record = lab.record("self-fence")
    assert (record["reason"], record["names"], record["sid"]) == ("it does not stop", ["r"], "s1")
    # Where that does not take it down, the deadline holds as before.
    assert lab.status().phase == "holding"
    assert work.poll() is None
    daemon.send_signal(signal.SIGSTOP)
    lab.record("stopped")
    assert work.wait(10) == -signal.SIGKILL


def test_signals_end_it_only_when_nothing_is_exclusive(lab: Lab) -> None:
    pid = lab.spawn_guard()
    _, step = lab.resource("db")
    daemon, _ = lab.daemon(register={"db": [step]})
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    wait_for(lambda: len(lab.events("signal_ignored")) == 2)
    assert lab.status().exclusive == ("db",)
    daemon.kill()
    lab.record("stopped")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: read_stat(pid) is None)
    assert not Path(lab.spec.socket).exists()
    assert lab.events("guard_exit")


def test_it_is_small_locked_and_private(lab: Lab) -> None:
    pid = lab.spawn_guard()
    _, step = lab.resource("db")
    _, seen = lab.daemon(register={f"db{number}": [step] for number in range(10)})
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident = int(fields["VmRSS"].split()[0])
    assert resident < 45_000
    if not any("memory" in problem and "OOM" not in problem for problem in seen["degraded"][1:]):
        assert int(fields["VmLck"].split()[0]) > resident * 0.8
    assert Path(lab.spec.socket).stat().st_mode & 0o777 == 0o600
    assert os.getsid(pid) == pid or read_stat(pid).group != os.getpgrp()  # type: ignore[union-attr]
    assert Path(f"/proc/{pid}/cgroup").read_text().rstrip().endswith(f"{lab.cgroup.name}/guard")


def test_a_guard_does_not_believe_every_daemon_where_it_is(lab: Lab) -> None:
    lab.spawn_guard()
    with GuardClient(lab.spec.socket) as guard:
        for place, why in [
            (lab.cgroup / "guard", "the guard itself"),
            (lab.cgroup / "daemon", "is not in the cgroup"),
            (lab.directory, "not in a cgroup v2"),
        ]:
            with pytest.raises(GuardRefusedError, match=why):
                guard.adopt(str(place))
        assert guard.status().daemon_pid is None
        assert guard.adopt().incarnation == 1


def test_steps_that_could_never_work_are_refused_at_registration(lab: Lab) -> None:
    lab.spawn_guard()
    with GuardClient(lab.spec.socket) as guard:
        guard.adopt()
        for step, why in [
            ({"kind": "cgroup", "path": "/tmp/none"}, "cgroup v2"),
            ({"kind": "cgroup", "path": str(lab.cgroup)}, "itself"),
            ({"kind": "nonsense"}, "unknown kind"),
        ]:
            with pytest.raises(GuardRefusedError, match=why):
                guard.register("x", [step])
        assert guard.status().exclusive == ()
