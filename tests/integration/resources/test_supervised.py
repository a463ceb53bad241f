"""A supervised process: started, stopped, killed, outliving its daemon, with cgroups and without."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hactl.linux.cgroup import Cgroup, prepare_root
from hactl.linux.process_identity import boot_id, read_record, read_stat
from hactl.linux.run import CommandError
from hactl.resources.base import NodeContext, ResourceError
from hactl.resources.process import Supervised
from tests.support.waiting import wait_until

# Ignores SIGTERM and leaves a child in a session of its own: the worst a service does.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


@pytest.fixture(params=["cgroup", "process group"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NodeContext]:
    if request.param == "process group":
        yield NodeContext("n1", str(tmp_path / "state"), None)
        return
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}")
    if root is None:
        pytest.skip("needs root and cgroup v2")
    try:
        yield NodeContext("n1", str(tmp_path / "state"), root)
    finally:
        asyncio.run(Cgroup(root).kill_all(5))
        Cgroup(root).remove()


def alive(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and not stat.dead


async def with_killed(process: Supervised, scenario: Callable[[], object]) -> None:
    try:
        await scenario()  # type: ignore[misc]
    finally:
        await process.kill()


def test_it_runs_in_its_own_session_and_stops_when_asked(context: NodeContext) -> None:
    process = Supervised("sleeper", ["sleep", "600"], context)

    async def scenario() -> None:
        await process.start()
        pid = process.pid
        assert pid is not None and os.getsid(pid) == pid
        assert process.observe().health == "running"
        if process.cgroup is not None:
            assert process.cgroup.pids() == [pid]
        await process.start()
        assert process.pid == pid
        await process.stop(10)
        assert not alive(pid)
        assert process.observe().health == "stopped"
        assert read_record(process.record_file) is None
        await process.stop(10)

    asyncio.run(with_killed(process, scenario))


def test_stop_kills_at_its_timeout_and_kill_leaves_no_child(context: NodeContext, tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    process = Supervised("stubborn", [sys.executable, "-c", STUBBORN, str(child_file)], context)

    async def scenario() -> None:
        await process.start()
        pid = process.pid
        assert pid is not None
        await wait_until(lambda: child_file.exists() and child_file.read_text(), blocking=True)
        await process.stop(0.2)
        assert not alive(pid)
        assert process.observe().health == "stopped"
        # Only a cgroup holds a child that made a session of its own.
        assert context.cgroup_root is None or not alive(int(child_file.read_text()))

    try:
        asyncio.run(with_killed(process, scenario))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child_file.read_text()), signal.SIGKILL)


def test_its_end_is_noticed_with_the_reason(context: NodeContext) -> None:
    process = Supervised("short", ["sh", "-c", "sleep 0.1; exit 3"], context)

    async def scenario() -> None:
        await process.start()
        assert await process.wait() == "ended with exit status 3"
        assert process.observe().health == "stopped"
        await process.start()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert await process.wait() == "was killed by SIGKILL"

    asyncio.run(with_killed(process, scenario))


def test_a_process_left_behind_by_the_main_process_is_a_failure(context: NodeContext) -> None:
    process = Supervised("leaver", ["sh", "-c", "sleep 600 & sleep 0.1"], context)

    async def scenario() -> None:
        await process.start()
        await process.wait()
        seen = process.observe()
        assert seen.health == "failed" and "left behind" in seen.detail
        (left,) = process.leftovers()
        await process.stop(5)
        assert not alive(left) and process.observe().health == "stopped"
        await process.start()
        await process.wait()
        (left,) = process.leftovers()
        await process.start()
        assert not alive(left), "what an earlier run left is killed before the next"

    asyncio.run(with_killed(process, scenario))


def test_a_failing_start_says_why_and_leaves_nothing(context: NodeContext) -> None:
    async def scenario() -> None:
        with pytest.raises(CommandError, match="command not found: no-such-command"):
            await Supervised("absent", ["no-such-command"], context).start()
        broken = Supervised("broken", ["sh", "-c", "echo no such key >&2; exit 4"], context, settle_s=5)
        with pytest.raises(ResourceError, match="ended with exit status 4 at once"):
            await broken.start()
        assert broken.observe().health == "stopped"

    asyncio.run(scenario())


def test_environment_reaches_it_but_not_the_daemons_notify_socket(
    context: NodeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/daemon")
    out = tmp_path / "out"
    script = f'echo "$HACTL_EPOCH|$OWN|$NOTIFY_SOCKET" > {out}; exec sleep 600'
    process = Supervised("env", ["sh", "-c", script], context, env={"OWN": "mine"})

    async def scenario() -> None:
        await process.start({"HACTL_EPOCH": "7"})
        await wait_until(lambda: out.exists() and out.read_text(), blocking=True)
        assert out.read_text() == "7|mine|\n"

    asyncio.run(with_killed(process, scenario))


def test_it_outlives_a_killed_daemon_and_the_next_adopts_it(context: NodeContext) -> None:
    daemon = """
import asyncio, json, sys, time
from hactl.resources.base import NodeContext
from hactl.resources.process import Supervised
process = Supervised("survivor", ["sleep", "600"], NodeContext("n1", *json.loads(sys.argv[1])))
asyncio.run(process.start())
print("pid", process.pid, flush=True)
time.sleep(600)
"""
    arguments = json.dumps([context.state_dir, context.cgroup_root])
    process = Supervised("survivor", ["sleep", "600"], context)

    async def scenario() -> None:
        with subprocess.Popen([sys.executable, "-c", daemon, arguments], stdout=subprocess.PIPE, text=True) as first:  # noqa: ASYNC220
            assert first.stdout is not None
            pid = next(int(line.split()[1]) for line in first.stdout if line.startswith("pid "))
            first.kill()
        assert process.adopt() and process.pid == pid
        ending = asyncio.create_task(process.wait())
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.wait_for(ending, 10) == "has ended"
        assert not process.running() and not process.adopt()
        await process.start()
        assert process.pid not in (None, pid)

    asyncio.run(with_killed(process, scenario))


def test_another_process_of_the_same_pid_or_of_another_boot_is_not_adopted(context: NodeContext) -> None:
    process = Supervised("other", ["sleep", "600"], context)
    record = Path(process.record_file)
    record.parent.mkdir(parents=True)
    stat = Path(f"/proc/{os.getpid()}/stat").read_text().strip()
    record.write_text(f"{boot_id()} {stat}\n")
    assert read_record(str(record)) is not None and process.adopt()
    fresh = Supervised("other", ["sleep", "600"], context)
    name_end = stat.rindex(")") + 2
    fields = stat[name_end:].split()
    fields[19] = str(int(fields[19]) - 1)
    record.write_text(f"{boot_id()} {stat[:name_end]}{' '.join(fields)}\n")
    assert not fresh.adopt()
    record.write_text(f"{uuid.uuid4()} {stat}\n")
    assert not fresh.adopt()


def test_the_guards_steps_stop_it(context: NodeContext) -> None:
    process = Supervised("guarded", ["sh", "-c", "sleep 600 & exec sleep 600"], context)
    (step,) = process.guard_steps()

    async def scenario() -> None:
        await process.start()
        if step["kind"] == "cgroup":
            Cgroup(step["path"]).kill()
        else:
            done = await asyncio.to_thread(subprocess.run, step["argv"], timeout=20, check=False)
            assert done.returncode == 0
        await asyncio.wait_for(process.wait(), 10)
        await wait_until(lambda: not process.leftovers(), blocking=True)

    asyncio.run(with_killed(process, scenario))


def test_names_cannot_become_files_of_the_kernel() -> None:
    assert Cgroup.of("/root", "cgroup.procs").path == "/root/cgroup%2eprocs"
    assert Cgroup.of("/root", "../x").path == "/root/%2e%2e%2fx"


def lose(record: str) -> None:
    """As if somebody emptied /run/hactl."""
    Path(record).unlink()
    Path(record).parent.rmdir()


def test_a_record_that_was_removed_is_put_back_for_the_next_daemon(context: NodeContext) -> None:
    async def main() -> None:
        process = Supervised("thing", ["sleep", "600"], context)
        await process.start()
        try:
            before = read_record(process.record_file)
            lose(process.record_file)
            assert process.observe().health == "running"
            assert read_record(process.record_file) == before is not None
            assert Supervised("thing", ["sleep", "600"], context).adopt()
        finally:
            await process.kill()
        assert read_record(process.record_file) is None

    asyncio.run(main())
