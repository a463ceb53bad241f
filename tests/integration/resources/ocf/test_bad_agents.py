"""Agents that hang, fork, ignore signals, lie, or say too much: stopped, and reported."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from fencing.guard import stop
from hactl.linux.cgroup import Cgroup
from hactl.linux.errors import OperationError
from hactl.resources import factory
from hactl.resources.base import NodeContext, ResourceError
from hactl.resources.ocf.resource import Ocf
from tests.support.specs import resource_spec
from tests.support.toy_ocf import ToyOcf

from .conftest import Make

# Ignores what a polite end would be, in a session of its own, and holds the output open.
STUBBORN = "trap '' TERM HUP INT; setsid sh -c \"trap '' TERM HUP; sleep 600\" & echo $! >>\"$dir/pids\"; sleep 600"


def everything(context: NodeContext) -> list[int]:
    """The processes of the daemon and of the resources."""
    return Cgroup(str(Path(str(context.cgroup_root)).parent)).pids()


def gone(context: NodeContext, toy: ToyOcf) -> bool:
    """Whether nothing is left: of the cgroups, nor of what the agent has noted, wherever that is."""

    def left() -> list[int]:
        file = toy.dir / "pids"
        noted = [int(word) for word in file.read_text().split()] if file.exists() else []
        return everything(context) + [pid for pid in noted if _lives(pid)]

    until = time.monotonic() + 5
    while left() and time.monotonic() < until:
        time.sleep(0.01)
    return not left()


def test_a_start_that_hangs_is_killed_at_its_deadline(toy: ToyOcf, make: Make, context: NodeContext) -> None:
    toy.does("start", f'touch "$running"; {STUBBORN}')
    resource = make(start_timeout_ms=300.0)
    with pytest.raises(ResourceError, match="toy: start did not end in time and was killed"):
        asyncio.run(resource.start({}))
    # What it began is the stop's to end.
    asyncio.run(resource.stop())
    assert not toy.runs and gone(context, toy)


def test_a_monitor_that_hangs_is_killed_with_all_that_it_forked(toy: ToyOcf, make: Make, context: NodeContext) -> None:
    toy.does("monitor", STUBBORN)
    seen = asyncio.run(make(monitor_timeout_ms=300.0).monitor())
    assert (seen.health, seen.detail) == ("failed", "monitor did not end in time and was killed")
    assert gone(context, toy)


@pytest.mark.parametrize("action", ["monitor", "stop"])
def test_what_an_action_leaves_behind_is_killed(toy: ToyOcf, make: Make, context: NodeContext, action: str) -> None:
    usual = {"monitor": '[ -e "$running" ] || exit 7', "stop": 'rm -f "$running"'}[action]
    toy.does(action, f'setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $! >>"$dir/pids"; {usual}')
    asyncio.run(make().stop())
    assert (toy.dir / "pids").exists() and gone(context, toy)


def test_a_cancelled_action_leaves_nothing_and_is_named(toy: ToyOcf, make: Make, context: NodeContext) -> None:
    toy.does("monitor", STUBBORN)
    resource = make(monitor_timeout_ms=60_000.0)

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await resource.probe()

    asyncio.run(scenario())
    assert resource.under_way == "monitor" and gone(context, toy)


def test_a_stop_that_hangs_is_no_stop(toy: ToyOcf, make: Make, context: NodeContext) -> None:
    toy.does("stop", STUBBORN)
    resource = make(stop_timeout_ms=300.0)
    asyncio.run(resource.start({}))
    for attempt in (resource.stop, resource.kill):
        with pytest.raises(
            ResourceError, match="not known to be stopped: stop did not end in time and was killed; mon"
        ):
            asyncio.run(attempt())
    assert toy.runs and gone(context, toy)


def test_a_kill_does_not_wait_for_a_stop_that_hangs_when_nothing_runs(
    toy: ToyOcf, make: Make, context: NodeContext
) -> None:
    toy.does("stop", f'rm -f "$running"; {STUBBORN}')
    resource = make(stop_timeout_ms=60_000.0)
    asyncio.run(resource.start({}))
    asyncio.run(asyncio.wait_for(resource.kill(), 10))
    assert not toy.runs and gone(context, toy)


def test_a_kill_begins_with_the_processes(toy: ToyOcf, make: Make, tmp_path: Path) -> None:
    """So that `stop` finds them dead: one that waits for their orderly end would take too long in an emergency."""
    toy.does("start", 'touch "$running"; setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $! >"$dir/pid"')
    toy.does("stop", 'while kill -0 "$(cat "$dir/pid")" 2>/dev/null; do sleep 0.02; done; rm -f "$running"')
    resource = make(stop_timeout_ms=60_000.0)
    asyncio.run(resource.start({}))
    asyncio.run(asyncio.wait_for(resource.kill(), 10))
    assert not toy.runs


def test_an_agent_that_lies_about_its_stop_is_found(toy: ToyOcf, make: Make) -> None:
    toy.does("stop", "exit 0")
    resource = make()
    asyncio.run(resource.start({}))
    for attempt in (resource.stop, resource.kill):
        with pytest.raises(ResourceError, match=r"not known to be stopped: stop: exit status 0; mon.* it is running"):
            asyncio.run(attempt())
    assert stop.attempt(resource.guard_steps()[0]) != ""


def test_a_stop_that_says_it_failed_has_stopped_when_monitor_says_so(toy: ToyOcf, make: Make) -> None:
    toy.does("stop", 'rm -f "$running"; exit 1')
    resource = make()
    for attempt in (resource.stop, resource.kill):
        asyncio.run(resource.start({}))
        asyncio.run(attempt())
        assert not toy.runs
    asyncio.run(resource.start({}))
    assert stop.attempt(resource.guard_steps()[0]) == ""


@pytest.mark.parametrize("code", [1, 42, 7])
def test_an_agent_that_lies_about_its_start_is_found(toy: ToyOcf, make: Make, code: int) -> None:
    toy.does("start", "exit 0")
    toy.does("monitor", f"exit {code}")
    with pytest.raises(ResourceError, match=f"toy: start ended with exit status 0, but monitor: exit status {code}"):
        asyncio.run(make().start({}))


def test_what_a_stop_lets_live_is_killed_and_looked_at_again(toy: ToyOcf, make: Make, context: NodeContext) -> None:
    """Such a process may have put the resource back meanwhile."""
    toy.does("start", 'touch "$running"; setsid sleep 600 >/dev/null 2>&1 </dev/null &')
    toy.does("monitor", 'echo >>"$dir/looks"; [ "$(wc -l <"$dir/looks")" -eq 2 ] && exit 7; exit 0')
    resource = make()
    asyncio.run(resource.start({}))
    with pytest.raises(ResourceError, match="not known to be stopped"):
        asyncio.run(resource.stop())
    assert gone(context, toy)


def test_megabytes_of_output_harm_nobody(toy: ToyOcf, make: Make) -> None:
    loud = "head -c 30000000 /dev/zero | tr '\\0' 'x' >&2; head -c 30000000 /dev/zero | tr '\\0' 'y'"
    toy.does("monitor", f"{loud}; exit 1")
    seen = asyncio.run(make(monitor_timeout_ms=60_000.0).monitor())
    assert seen.health == "failed" and len(seen.detail) < 500


def test_an_agent_that_is_killed_has_failed(toy: ToyOcf, make: Make) -> None:
    toy.does("monitor", "kill -SEGV $$")
    assert asyncio.run(make().monitor()).detail == "monitor was killed by signal SIGSEGV"


def test_a_start_of_a_daemon_that_was_killed_ends_before_the_stop(
    toy: ToyOcf, make: Make, context: NodeContext
) -> None:
    """It would go on beside it."""
    toy.does("start", 'echo $$ >"$dir/pid"; sleep 600')
    resource = make(start_timeout_ms=60_000.0)

    async def scenario() -> None:
        starting = asyncio.create_task(resource.start({}))
        while not (toy.dir / "pid").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await make().stop()
        with pytest.raises(ResourceError, match="start was killed by signal SIGKILL"):
            await starting

    asyncio.run(asyncio.wait_for(scenario(), 30))
    assert gone(context, toy)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda toy: toy.path.unlink(), "toy: there is no agent test:toy on this node"),
        (lambda toy: toy.path.chmod(0o644), "cannot be executed: `chmod 755 "),
        (lambda toy: toy.path.chmod(0o777), "others may change what .*toy does: .* `chmod go-w "),
    ],
)
def test_an_agent_that_must_not_or_cannot_be_run_starts_nothing(
    toy: ToyOcf, make: Make, break_it: object, says: str
) -> None:
    assert callable(break_it)
    break_it(toy)
    with pytest.raises(OperationError, match=says):
        asyncio.run(make().start({}))
    assert toy.asked() == []


def test_an_agent_that_has_gone_is_not_known_to_have_stopped(toy: ToyOcf, make: Make) -> None:
    resource: Ocf = make()
    asyncio.run(resource.start({}))
    toy.path.unlink()
    for attempt in (resource.probe, resource.stop, resource.kill):
        with pytest.raises(OperationError, match="command not found"):
            asyncio.run(attempt())


def test_processes_without_cgroups_end_with_the_action(toy: ToyOcf, tmp_path: Path) -> None:
    """On a machine without cgroup v2: the process group is what there is."""
    toy.does("monitor", 'sleep 600 >/dev/null 2>&1 & echo $! >"$dir/pid"; exit 7')
    resource = factory.make(resource_spec("toy", "ocf", toy.options()), NodeContext("n1", str(tmp_path), None), "g")
    assert asyncio.run(resource.probe()).health == "stopped"
    until = time.monotonic() + 5
    pid = int((toy.dir / "pid").read_text())
    while time.monotonic() < until and _lives(pid):
        time.sleep(0.01)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
