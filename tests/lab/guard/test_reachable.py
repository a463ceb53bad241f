"""One guard a node, whatever happens to the files in its directory; it makes missing ones again."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fencing.guard import client as guard_client
from fencing.guard.client import GuardError, OtherGuardError, spawn
from fencing.guard.proc import read_stat
from tests.lab.guard.guard_lab import Lab, wait_for
from tests.support.guard_client import GuardClient

pytestmark = pytest.mark.root


@pytest.fixture
def apart(lab: Lab) -> Lab:
    """The socket in a directory of its own, as /run/hactl is."""
    run = lab.directory / "run"
    run.mkdir()
    lab.spec = replace(lab.spec, socket=str(run / "sock"), log=str(run / "log"))
    return lab


def guards(lab: Lab) -> list[int]:
    pids = (lab.cgroup / "guard" / "cgroup.procs").read_text().split()
    return [int(pid) for pid in pids]


def empty(lab: Lab, removed: str) -> None:
    run = Path(lab.spec.socket).parent
    match removed:
        case "all of it":
            for path in run.iterdir():
                path.unlink()
        case "the socket":
            Path(lab.spec.socket).unlink()
        case "the lock":
            Path(f"{lab.spec.socket}.lock").unlink()
        case "the directory":
            shutil.rmtree(run)


def answers(lab: Lab) -> bool:
    """Whether a guard can be reached; it may just be making its socket again."""
    try:
        return bool(lab.status())
    except GuardError:
        return False


@pytest.mark.parametrize("removed", ["all of it", "the socket", "the lock", "the directory"])
def test_a_guard_whose_files_are_gone_makes_them_again(apart: Lab, removed: str) -> None:
    pid = apart.spawn_guard()
    resource, step = apart.resource("db")
    daemon, _ = apart.daemon(register={"db": [step]})
    empty(apart, removed)
    wait_for(lambda: Path(f"{apart.spec.socket}.lock").exists() and answers(apart))
    assert apart.status().pid == pid
    assert (daemon.poll(), resource.poll()) == (None, None)
    with pytest.raises(GuardError, match="another guard"):
        spawn(apart.spec)
    wait_for(lambda: guards(apart) == [pid])
    assert apart.status().exclusive == ("db",)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_guard_that_cannot_be_reached_keeps_others_from_starting(apart: Lab, frozen: bool) -> None:
    """Its socket is not there yet, or it hangs: it holds a deadline all the same."""
    pid = apart.spawn_guard()
    os.kill(pid, signal.SIGSTOP)
    empty(apart, "all of it")
    try:
        with pytest.raises(OtherGuardError, match=f"process {pid}"):
            guard_client.connect_or_spawn(apart.spec, patience_s=0.0)
        assert not Path(apart.spec.socket).exists()  # nothing is in the way of its own
        if not frozen:
            os.kill(pid, signal.SIGCONT)
            guard_client.connect_or_spawn(apart.spec).close()
            assert apart.status().pid == pid
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_cgroups_a_guard_is_found_among_the_processes(apart: Lab) -> None:
    apart.spec = replace(apart.spec, cgroups=())
    pid = apart.spawn_guard()
    try:
        os.kill(pid, signal.SIGSTOP)
        empty(apart, "all of it")
        with pytest.raises(OtherGuardError, match=f"process {pid}"):
            guard_client.connect_or_spawn(apart.spec, patience_s=0.0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_one_of_another_run_dir_ends_when_it_holds_nothing_and_only_then_another_begins(apart: Lab) -> None:
    """The daemon's run_dir is another one since its restart: there is one guard a node all the same."""
    first = apart.spawn_guard()
    resource, step = apart.resource("db")
    daemon, _ = apart.daemon(register={"db": [step]})
    other = replace(apart.spec, socket=f"{apart.spec.socket}2")
    with pytest.raises(OtherGuardError, match=f"process {first}, at {apart.spec.socket}: it ends as soon as"):
        spawn(other)
    wait_for(lambda: guards(apart) == [first])
    assert (daemon.poll(), resource.poll()) == (None, None)
    daemon.kill()
    daemon.wait(5)
    wait_for(lambda: resource.poll() is not None)  # the deadline that it holds
    guard_client.connect_or_spawn(other, patience_s=30.0).close()
    wait_for(lambda: len(guards(apart)) == 1)
    assert guards(apart) != [first]


def test_a_guard_of_another_node_is_in_nobodys_way(apart: Lab) -> None:
    first = apart.spawn_guard()
    elsewhere = apart.directory / "elsewhere"
    elsewhere.mkdir()
    other = replace(apart.spec, socket=f"{apart.spec.socket}2", state_dir=str(elsewhere))
    spawn(other)
    with GuardClient(other.socket, 5.0) as client:
        assert client.status().pid != first


def test_a_process_that_another_user_calls_a_guard_stops_nothing(apart: Lab) -> None:
    words = [
        "setpriv", "--reuid=65534", "--clear-groups",
        "python3", "-c", "import time; time.sleep(60)", "fencing.guard", "--socket", apart.spec.socket,
    ]  # fmt: skip
    false = apart.run_in("daemon", words)
    wait_for(lambda: b"fencing.guard" in Path(f"/proc/{false.pid}/cmdline").read_bytes())
    wait_for(lambda: Path(f"/proc/{false.pid}").stat().st_uid == 65534)
    apart.spawn_guard()


def test_a_guard_that_cannot_be_reached_any_more_and_holds_nothing_ends(apart: Lab) -> None:
    pid = apart.spawn_guard()
    run = Path(apart.spec.socket).parent
    shutil.rmtree(run)
    run.write_text("in its place")
    try:
        wait_for(lambda: read_stat(pid) is None or read_stat(pid).dead, within_s=40)  # type: ignore[union-attr]
    finally:
        run.unlink()


def test_one_that_holds_something_stays_though_nobody_can_reach_it(apart: Lab) -> None:
    """And does its duty: at the deadline it stops its resources."""
    apart.spawn_guard()
    resource, step = apart.resource("db")
    daemon, _ = apart.daemon(register={"db": [step]}, renew=False)
    run = Path(apart.spec.socket).parent
    shutil.rmtree(run)
    run.write_text("in its place")
    try:
        wait_for(lambda: resource.poll() is not None)
        assert daemon.wait(5) == -signal.SIGKILL
        apart.record("stopped")
    finally:
        run.unlink()


def test_the_log_goes_on_in_a_new_file_and_is_bounded(apart: Lab) -> None:
    apart.spawn_guard()
    log = Path(apart.spec.log or "")
    wait_for(log.exists)
    log.unlink()
    daemon, _ = apart.daemon()
    wait_for(log.exists)
    assert "adopt" in log.read_text()
    daemon.kill()


def test_a_log_that_cannot_be_written_keeps_no_guard_from_its_work(apart: Lab) -> None:
    apart.spec = replace(apart.spec, log="/dev/full")
    apart.spawn_guard()
    resource, step = apart.resource("db")
    apart.daemon(register={"db": [step]}, renew=False)
    wait_for(lambda: resource.poll() is not None)
    apart.record("stopped")


def test_a_guard_holds_no_descriptor_of_the_daemons_starter(apart: Lab) -> None:
    """`hactl daemon 2>&1 | tee log` ends with the daemon."""
    daemon, status = apart.daemon(spawn=True)

    def held(pid: int) -> set[Path]:
        return {path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()}

    assert held(status["pid"]) & held(daemon.pid) <= {Path("/dev/null")}


def test_a_record_for_which_there_is_no_room_is_written_once_there_is(apart: Lab) -> None:
    state = apart.directory / "state"
    state.write_text("in its place")
    apart.spec = replace(apart.spec, state_dir=str(state))
    apart.spawn_guard()
    resource, step = apart.resource("db")
    apart.daemon(register={"db": [step]}, renew=False)
    wait_for(lambda: resource.poll() is not None)
    wait_for(lambda: bool(apart.events("all_stopped")))
    state.unlink()
    state.mkdir()
    assert apart.record("stopped")["names"] == ["db"]
