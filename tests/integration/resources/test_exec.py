"""Kind exec: a supervised command, or commands that start, stop and test something."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.linux.cgroup import Cgroup, prepare_root
from hactl.resources import factory
from hactl.resources.base import NodeContext, Observation, Resource, ResourceError
from hactl.resources.exec import Process
from tests.integration.linux.test_run_command import wait_gone
from tests.support.specs import resource_spec


def make(tmp_path: Path, options: dict[str, Any], **timings: float) -> Resource:
    spec = resource_spec("thing", "exec", options, **timings)
    return factory.make(spec, NodeContext("n1", str(tmp_path / "state"), None))


def run(resource: Resource, scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await asyncio.wait_for(scenario(), 30)
        finally:
            if isinstance(resource, Process):
                await resource.kill()

    asyncio.run(whole())


def agent(tmp_path: Path, **changes: list[str]) -> dict[str, Any]:
    """A thing that runs while a file is there."""
    flag = tmp_path / "flag"
    options = {
        "start": ["sh", "-c", f'echo "$HACTL_NODE $HACTL_EPOCH" > {flag}'],
        "stop": ["rm", "-f", str(flag)],
        "monitor": ["sh", "-c", f"test -e {flag} || exit 3"],
    }
    return {**options, **changes}


def test_a_command_is_started_watched_and_stopped(tmp_path: Path) -> None:
    resource = make(tmp_path, {"command": ["sleep", "600"]})
    assert isinstance(resource, Process)

    async def scenario() -> None:
        reports: asyncio.Queue[Observation] = asyncio.Queue()
        assert (await resource.probe()).health == "stopped"
        await resource.start({})
        watch = asyncio.create_task(resource.watch(reports.put_nowait))
        for _ in range(2):
            assert (await resource.monitor()).health == "running"
            assert resource.process.pid is not None
            os.kill(resource.process.pid, signal.SIGKILL)
            assert await reports.get() == Observation("stopped", "was killed by SIGKILL")
            await resource.start({})
        await resource.stop()
        assert (await resource.probe()).health == "stopped"
        await asyncio.sleep(0.05)
        assert reports.empty(), "a stop that was asked for is no news"
        watch.cancel()

    run(resource, scenario)


def test_start_waits_until_it_is_ready(tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    command = ["sh", "-c", f"sleep 0.3; touch {flag}; exec sleep 600"]
    resource = make(tmp_path, {"command": command, "ready": ["test", "-e", str(flag)]})

    async def scenario() -> None:
        await resource.start({})
        assert flag.exists()

    run(resource, scenario)


def test_a_command_that_ends_before_it_is_ready_fails(tmp_path: Path) -> None:
    resource = make(tmp_path, {"command": ["sh", "-c", "sleep 0.2; exit 5"], "ready": ["false"]})

    async def scenario() -> None:
        with pytest.raises(ResourceError, match="thing: ended with exit status 5 before it was ready"):
            await resource.start({})

    run(resource, scenario)


def test_a_failing_monitor_is_a_failure(tmp_path: Path) -> None:
    resource = make(tmp_path, {"command": ["sleep", "600"], "monitor": ["sh", "-c", "echo no answer; exit 1"]})

    async def scenario() -> None:
        await resource.start({})
        assert (await resource.probe()).health == "running"
        seen = await resource.monitor()
        assert seen == Observation("failed", "monitor ended with exit status 1: no answer", certain=False)

    run(resource, scenario)


@pytest.mark.parametrize("kind", ["agent", "process"])
def test_a_monitor_leaves_nothing_running(tmp_path: Path, kind: str) -> None:
    monitor = ["sh", "-c", f"sleep 600 >/dev/null 2>&1 & echo $! >> {tmp_path}/pids"]
    options = {"command": ["sleep", "600"], "monitor": monitor}
    resource = make(tmp_path, agent(tmp_path, monitor=monitor) if kind == "agent" else options)

    async def scenario() -> None:
        await resource.start({})
        for _ in range(3):
            assert (await resource.monitor()).health == "running"

    run(resource, scenario)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3 and all(map(wait_gone, pids))


def test_an_agent_starts_and_stops_with_the_environment(tmp_path: Path) -> None:
    resource = make(tmp_path, agent(tmp_path))

    async def scenario() -> None:
        assert (await resource.probe()).health == "stopped"
        await resource.start({"HACTL_EPOCH": "9"})
        assert (tmp_path / "flag").read_text() == "n1 9\n"
        assert (await resource.probe()).health == "running"
        await resource.stop()
        assert (await resource.probe()).health == "stopped"
        await resource.kill()

    run(resource, scenario)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stop": ["true"]}, "stop ended with exit status 0; it still runs"),
        ({"stop": ["false"], "monitor": ["false"]}, "stop ended with exit status 1; monitor ended with"),
    ],
)
def test_a_stop_that_does_not_stop_is_seen(tmp_path: Path, changes: dict[str, list[str]], says: str) -> None:
    resource = make(tmp_path, agent(tmp_path, **changes))

    async def scenario() -> None:
        await resource.start({})
        with pytest.raises(ResourceError, match=says):
            await resource.stop()

    run(resource, scenario)


def test_an_agent_that_hangs_is_killed_at_its_timeout(tmp_path: Path) -> None:
    resource = make(tmp_path, agent(tmp_path, start=["sleep", "600"]), start_timeout_ms=200.0)

    async def scenario() -> None:
        with pytest.raises(ResourceError, match="thing: start did not end in time and was killed"):
            await resource.start({})

    run(resource, scenario)


@pytest.mark.parametrize(
    ("kill", "monitor", "stopped"),
    [
        ("true", "exit 3", True),
        ("false", "exit 7", True),
        ("true", "exit 1", True),
        ("true", "exit 0", False),
        ("false", "exit 1", False),
    ],
)
def test_the_guards_step_judges_like_the_daemon(tmp_path: Path, kill: str, monitor: str, stopped: bool) -> None:
    options = agent(tmp_path, kill=[kill], monitor=["sh", "-c", monitor])
    resource = make(tmp_path, options)
    (step,) = resource.guard_steps()
    done = subprocess.run(step["argv"], timeout=10, check=False)
    assert (done.returncode == 0) is stopped

    async def scenario() -> None:
        if stopped:
            await resource.kill()
        else:
            with pytest.raises(ResourceError):
                await resource.kill()

    run(resource, scenario)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": ["no-such-command"]}, "thing: command: command not found: no-such-command"),
        ({"start": ["true"]}, "missing: ['stop', 'monitor']"),
        ({"start": ["true"], "stop": ["/no/such"], "monitor": ["true"]}, "thing: stop: command not found: /no/such"),
        ({"command": ["sleep", "5"], "ready": ["true"]}, None),
    ],
)
def test_checking_options(options: dict[str, Any], says: str | None) -> None:
    problems = factory.check_options(resource_spec("thing", "exec", options))
    assert len(problems) == (says is not None)
    assert says is None or says in problems[0]


def test_resources_of_one_name_in_two_groups_are_two(tmp_path: Path) -> None:
    spec, context = resource_spec("vip", "exec", {"command": ["sleep", "600"]}), NodeContext("n1", str(tmp_path), None)
    first, second = (factory.make(spec, context, group) for group in ("one", "two"))
    assert isinstance(first, Process) and isinstance(second, Process)

    async def scenario() -> None:
        await first.start({})
        assert (await second.probe()).health == "stopped"
        await second.start({})
        await first.stop()
        assert (await second.probe()).health == "running"
        await second.kill()

    run(first, scenario)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[NodeContext]:
    """With cgroups, the daemon's among them."""
    root = prepare_root(f"hactl-test-{uuid.uuid4().hex[:8]}")
    if root is None:
        pytest.skip("needs root and cgroup v2")
    daemon = Cgroup(f"{root}/daemon")
    daemon.create()
    try:
        yield NodeContext("n1", str(tmp_path / "state"), f"{root}/resources", daemon.path)
    finally:
        asyncio.run(Cgroup(root).kill_all(5))
        Cgroup(root).remove()


def leaving(tmp_path: Path, program: str = "exec sleep 600", **changes: list[str]) -> dict[str, Any]:
    """An agent whose `start` leaves a process running, in a session of its own; its pid is in a file."""
    file = tmp_path / "pid"
    start = f"setsid sh -c 'echo $$ > {file}; {program}' > /dev/null 2>&1 & until [ -s {file} ]; do sleep 0.01; done"
    # A dead process may not have been reaped yet.
    monitor = f"grep -qs '^State:.[SRD]' /proc/$(cat {file})/status || exit 7"
    stop = f"kill $(cat {file}); while {monitor.partition(' || ')[0]}; do sleep 0.01; done"
    options = {"start": ["sh", "-c", start], "stop": ["sh", "-c", stop], "monitor": ["sh", "-c", monitor]}
    return {**options, **changes}


def left(tmp_path: Path) -> int:
    """The process that `start` left running."""
    return int((tmp_path / "pid").read_text())


def make_in(context: NodeContext, options: dict[str, Any], **timings: float) -> Resource:
    return factory.make(resource_spec("thing", "exec", options, **timings), context, "group")


def kill_daemon(context: NodeContext) -> None:
    """Kill the daemon's cgroup as systemd and the guard do."""
    assert context.daemon_cgroup is not None
    asyncio.run(Cgroup(context.daemon_cgroup).kill_all(5))


def kill_daemon_when_populated(context: NodeContext) -> None:
    """Once something runs in its cgroup."""
    until = time.monotonic() + 10
    while not Cgroup(str(context.daemon_cgroup)).populated():
        assert time.monotonic() < until
        time.sleep(0.01)
    kill_daemon(context)


def resources(context: NodeContext) -> list[int]:
    """The processes in the resources' cgroups."""
    assert context.cgroup_root is not None
    return Cgroup(context.cgroup_root).pids()


def test_processes_that_a_start_leaves_outlive_the_daemon(tmp_path: Path, context: NodeContext) -> None:
    asyncio.run(make_in(context, leaving(tmp_path)).start({}))
    kill_daemon(context)
    assert resources(context) == [left(tmp_path)]
    # The next daemon.
    resource = make_in(context, leaving(tmp_path))
    assert asyncio.run(resource.probe()).health == "running"
    asyncio.run(resource.stop())
    assert asyncio.run(resource.probe()).health == "stopped"
    assert not Path(f"{context.cgroup_root}/group%2fthing").exists()


def test_a_start_under_way_ends_with_the_daemon(tmp_path: Path, context: NodeContext) -> None:
    resource = make_in(context, leaving(tmp_path, start=["sleep", "600"]))

    async def scenario() -> None:
        killed = asyncio.create_task(asyncio.to_thread(kill_daemon_when_populated, context))
        with pytest.raises(ResourceError, match="start was killed by signal SIGKILL"):
            await resource.start({})
        await killed

    asyncio.run(asyncio.wait_for(scenario(), 30))
    assert resources(context) == []


@pytest.mark.parametrize("action", ["start", "stop", "kill"])
def test_a_start_that_outlived_its_daemon_is_ended_first(tmp_path: Path, context: NodeContext, action: str) -> None:
    resource = make_in(context, agent(tmp_path))
    earlier = Cgroup.of(str(context.daemon_cgroup), "group/thing")
    earlier.create()
    process = subprocess.Popen(earlier.enter_argv(["sleep", "600"]))
    try:
        until = time.monotonic() + 10
        while not earlier.populated():
            assert time.monotonic() < until
            time.sleep(0.01)
        asyncio.run(resource.start({}) if action == "start" else getattr(resource, action)())
        assert process.wait(10) == -signal.SIGKILL
        assert not Path(earlier.path).exists()
    finally:
        process.kill()
        process.wait()


def test_processes_that_a_failed_start_leaves_are_ended_by_the_stop(tmp_path: Path, context: NodeContext) -> None:
    options = leaving(tmp_path)
    options["start"][2] += "; sleep 600"
    resource = make_in(context, options, start_timeout_ms=500.0)
    with pytest.raises(ResourceError, match="start did not end in time and was killed"):
        asyncio.run(resource.start({}))
    assert resources(context) == [left(tmp_path)]
    asyncio.run(resource.stop())
    assert resources(context) == []


@pytest.mark.parametrize(("stop", "action"), [("rm -f {flag}", "stop"), ("true", "kill"), ("rm -f {flag}", "guard")])
def test_processes_that_a_stop_lets_live_are_killed(
    tmp_path: Path, context: NodeContext, stop: str, action: str
) -> None:
    """`stop` and its `monitor` know of a file, or of the process that refuses to end."""
    flag = tmp_path / "flag"
    options = leaving(tmp_path, stop=["sh", "-c", stop.format(flag=flag)])
    if stop != "true":
        flag.touch()
        options["monitor"] = ["sh", "-c", f"test -e {flag} || exit 7"]
    resource = make_in(context, options)
    asyncio.run(resource.start({}))
    assert resources(context) == [left(tmp_path)]
    if action == "guard":
        (step,) = resource.guard_steps()
        ended = [subprocess.run(step["argv"], env=step["env"], timeout=10, check=False).returncode for _ in range(20)]
        assert ended[-1] == 0
    else:
        asyncio.run(getattr(resource, action)())
    assert resources(context) == []


def test_a_stop_is_judged_again_when_something_was_still_there(tmp_path: Path, context: NodeContext) -> None:
    """A process that `stop` let live puts the file back while it is being killed, as its monitor sees."""
    again = ["sh", "-c", f"test -e {tmp_path}/asked || {{ touch {tmp_path}/asked; exit 7; }}"]
    resource = make_in(context, leaving(tmp_path, stop=["true"], monitor=again))
    asyncio.run(resource.start({}))
    with pytest.raises(ResourceError, match="it still runs"):
        asyncio.run(resource.stop())
    assert resources(context) == []


@pytest.mark.parametrize("populated", [0, 1])
def test_the_guard_waits_for_the_death_of_what_it_has_killed(tmp_path: Path, populated: int) -> None:
    """A process that hangs in the kernel cannot be had here: a file says that one does."""
    left = tmp_path / "group%2fthing"
    left.mkdir()
    (left / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
    (step,) = make_in(NodeContext("n1", str(tmp_path), str(tmp_path), str(tmp_path)), agent(tmp_path)).guard_steps()
    assert subprocess.run(step["argv"], timeout=10, check=False).returncode == populated


def test_the_guard_finds_commands_from_their_directory(tmp_path: Path) -> None:
    (tmp_path / "end").write_text("#!/bin/sh\ntouch ended\n")
    (tmp_path / "end").chmod(0o755)
    resource = make(tmp_path, {**agent(tmp_path), "kill": ["./end"], "cwd": str(tmp_path)})
    (step,) = resource.guard_steps()
    assert subprocess.run(step["argv"], cwd="/", timeout=10, check=False).returncode == 0
    assert (tmp_path / "ended").exists()
