"""The guard's stop steps: refusals at registration, and stops of real files, processes and commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fencing.guard.jobs import DaemonKiller, StopJob
from fencing.guard.proc import Process, kill_group, read_stat, run_bounded
from fencing.guard.stop import attempt

SLEEP = shutil.which("sleep") or "/bin/sleep"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([SLEEP, "60"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def start_time(pid: int) -> int:
    stat = read_stat(pid)
    assert stat is not None
    return stat.start_time


def test_a_process_group_is_killed_whole(tmp_path: Path) -> None:
    leader = subprocess.Popen(
        ["/bin/sh", "-c", f"{SLEEP} 60 & echo $! > pid; exec {SLEEP} 60"],
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
        other = int((tmp_path / "pid").read_text())
        assert attempt({"kind": "pid", "pid": leader.pid, "start_time": start_time(leader.pid)}) == ""
        for pid in (leader.pid, other):
            stat = read_stat(pid)
            assert stat is None or stat.dead
    finally:
        leader.kill()
        leader.wait()


def test_a_group_outlives_its_leader_and_is_killed_still(tmp_path: Path) -> None:
    leader = subprocess.Popen(["/bin/sh", "-c", f"{SLEEP} 60 & echo $! > pid"], cwd=tmp_path, start_new_session=True)
    started = start_time(leader.pid)
    leader.wait()
    other = int((tmp_path / "pid").read_text())
    assert kill_group(leader.pid, started, 1.0) == ""
    stat = read_stat(other)
    assert stat is None or stat.dead


def test_another_process_with_the_same_number_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    assert attempt({"kind": "pid", "pid": sleeper.pid, "start_time": start_time(sleeper.pid) - 1}) == ""
    assert sleeper.poll() is None


def test_a_daemon_without_cgroup_goes_with_its_descendants(tmp_path: Path) -> None:
    script = f"setsid {SLEEP} 60 & echo $! > pid; exec {SLEEP} 60"
    leader = subprocess.Popen(["/bin/sh", "-c", script], cwd=tmp_path, start_new_session=True)
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
        assert Process(leader.pid).kill_tree(1.0) == ""
        stat = read_stat(int((tmp_path / "pid").read_text()))
        assert stat is None or stat.dead
        assert leader.wait(5) == -9
    finally:
        leader.kill()
        leader.wait()


def test_a_dead_daemon_costs_no_other_process_its_life(sleeper: subprocess.Popen[bytes]) -> None:
    daemon = Process(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert daemon.kill_tree(1.0) == ""


@pytest.mark.parametrize(
    ("argv", "verify", "stopped"),
    [
        (["true"], None, True),
        (["false"], None, False),
        (["false"], ["true"], True),
        (["true"], ["false"], False),
        (["/no/such/command"], None, False),
        ([SLEEP, "60"], None, False),
        (["/bin/sh", "-c", 'test "$A" = b -a -z "$HOME"'], None, True),
    ],
)
def test_a_command_is_believed_by_its_verification(argv: list[str], verify: list[str] | None, stopped: bool) -> None:
    step = {"kind": "command", "argv": argv, "timeout_ms": 300, "env": {"A": "b"}}
    assert (attempt(step | ({"verify": verify} if verify else {})) == "") is stopped


def test_a_command_past_its_deadline_is_killed_with_its_children(tmp_path: Path) -> None:
    ran = run_bounded(["/bin/sh", "-c", f"{SLEEP} 60 & echo $! > {tmp_path}/pid; wait"], 0.3)
    assert ran.status is None
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: (stat := read_stat(pid)) is None or stat.dead)


def test_one_slow_step_delays_no_other_and_a_file_that_came_back_is_removed_again(tmp_path: Path) -> None:
    """A command that takes its time puts the file back; the file is looked at again after it."""
    path = tmp_path / "file"
    path.write_text("x")
    calls: list[Any] = []
    posted = threading.Condition()

    def post(call: Any) -> None:
        with posted:
            calls.append(call)
            posted.notify()

    ends: list[tuple[str, bool, str]] = []
    killer = DaemonKiller(post, lambda problem: None)
    slow = {"kind": "command", "argv": ["/bin/sh", "-c", f"sleep 0.3; echo > {path}"], "timeout_ms": 5000}
    job = StopJob(
        "g",
        [slow, {"kind": "unlink", "path": str(path)}],
        killer,
        post,
        lambda *result: ends.append(result),
    )
    killer.kill()
    job.start()
    gone_early = False
    until = time.monotonic() + 10
    while not any(stopped for _, stopped, _ in ends) and time.monotonic() < until:
        with posted:
            if not calls:
                posted.wait(0.01)
            waiting, calls[:] = list(calls), []
        for call in waiting:
            call()
        gone_early = gone_early or (not path.exists() and "sleep" in str(job.problems()))
        if any(not stopped for _, stopped, _ in ends):
            job.start()
    job.retire()
    assert gone_early
    assert ("g", True, "") in ends
    assert not path.exists()


def test_the_guard_needs_the_standard_library_only_and_no_event_loop() -> None:
    script = (
        "import sys; before = set(sys.modules); import fencing.guard.program; "
        "print(*sorted(set(sys.modules) - before)); "
        "print(*sorted({m.__file__ or '' for n, m in sys.modules.items() if getattr(m, '__file__', None)}))"
    )
    root = Path(sys.modules["fencing"].__file__ or "").parent.parent
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {script}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    names, files = ran.stdout.splitlines()
    tops = {name.partition(".")[0] for name in names.split()}
    assert tops <= set(sys.stdlib_module_names) | {"fencing", "election"}
    assert {name for name in names.split() if name.startswith("election.")} == {"election.clock"}
    assert not tops & {"asyncio", "pathlib", "urllib", "ssl", "logging", "concurrent", "email", "http"}
    assert "fencing/guard/loop.py" in files


def wait_until(true: Any, within_s: float = 10.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
