"""Actions of an OCF agent, as it should be: started, looked at, stopped, by the daemon and by the guard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fencing.guard import stop
from hactl.linux.cgroup import Cgroup
from hactl.resources.base import NodeContext, Observation, ResourceError
from tests.support.toy_ocf import ToyOcf

from .conftest import Make

RUNNING = Observation("running")


def test_it_is_started_looked_at_and_stopped(toy: ToyOcf, make: Make) -> None:
    async def scenario() -> None:
        resource = make()
        assert (await resource.probe()).health == "stopped"
        await resource.start({"HACTL_EPOCH": "9"})
        assert toy.runs and await resource.probe() == RUNNING == await resource.monitor()
        await resource.start({})
        await resource.stop()
        assert not toy.runs and (await resource.probe()).health == "stopped"
        await resource.stop()
        await resource.start({})
        await resource.kill()
        assert not toy.runs

    asyncio.run(scenario())


def test_a_start_and_a_stop_are_seen_by_a_monitor(toy: ToyOcf, make: Make) -> None:
    async def scenario() -> None:
        resource = make()
        await resource.start({})
        assert toy.asked() == ["start", "monitor"]
        await resource.stop()
        assert toy.asked() == ["start", "monitor", "stop", "monitor"]

    asyncio.run(scenario())


def test_a_probe_has_no_interval_and_a_monitor_has_its_check_level(toy: ToyOcf, make: Make) -> None:
    resource = make({**toy.options(speed="7"), "check_level": 20}, monitor_interval_ms=15_000.0)
    asyncio.run(resource.probe())
    assert toy.told() == "monitor interval=0 level=0 speed=7"
    asyncio.run(resource.monitor())
    assert toy.told() == "monitor interval=15000 level=20 speed=7"


def test_the_environment_of_a_start(toy: ToyOcf, make: Make, tmp_path: Path) -> None:
    toy.does("start", f'env >"{tmp_path}/env"; crm_node -n >"{tmp_path}/node"; touch "$running"; [ -d "$HA_RSCTMP" ]')
    asyncio.run(make().start({"HACTL_EPOCH": "9", "HACTL_GROUP": "group"}))
    env = dict(line.partition("=")[::2] for line in (tmp_path / "env").read_text().splitlines())
    expected = {"OCF_RESOURCE_INSTANCE": "group.toy", "HACTL_EPOCH": "9", "OCF_RESKEY_CRM_meta_name": "start"}
    assert {name: env.get(name) for name in expected} == expected
    assert (tmp_path / "node").read_text() == "n1\n"


@pytest.mark.parametrize(
    ("code", "health", "says"),
    [
        (0, "running", ""),
        (1, "failed", "exit status 1: it has failed: broken"),
        (5, "failed", "what it needs is not installed on this node: broken"),
        (7, "stopped", "it is not running"),
        (8, "running", ""),
        (9, "failed", "it has failed, promoted"),
        (42, "failed", "exit status 42, which the OCF API does not know: broken"),
    ],
)
def test_exit_statuses_of_a_monitor(toy: ToyOcf, make: Make, code: int, health: str, says: str) -> None:
    toy.does("monitor", f'echo "ocf-exit-reason:broken" >&2; echo more >&2; exit {code}')
    seen = asyncio.run(make().monitor())
    assert seen.health == health and says in seen.detail and seen.warned is None


def test_degraded_is_a_warning_that_ends(toy: ToyOcf, make: Make) -> None:
    async def scenario() -> None:
        resource = make()
        toy.does("monitor", 'echo "ocf-exit-reason:one disk of two" >&2; exit 190')
        for _ in range(2):
            seen = await resource.monitor()
            assert seen.health == "running" and seen.warned is not None and seen.warned.topic == "degraded"
            assert "degraded: one disk of two" in seen.warned.text
        toy.does("monitor", "exit 0")
        seen = await resource.monitor()
        assert seen.warned is not None and (seen.warned.topic, seen.warned.text) == ("degraded", "")
        assert await resource.monitor() == RUNNING

    asyncio.run(scenario())


def test_a_failed_start_says_why(toy: ToyOcf, make: Make) -> None:
    toy.does("start", 'echo " INFO: begun" >&2; echo "ocf-exit-reason:no such directory: /srv" >&2; exit 1')
    with pytest.raises(ResourceError, match="toy: start: exit status 1: it has failed: no such directory: /srv"):
        asyncio.run(make().start({}))


def test_what_a_start_leaves_outlives_the_daemon_and_ends_with_the_stop(
    toy: ToyOcf, make: Make, context: NodeContext
) -> None:
    toy.does("start", 'touch "$running"; setsid sleep 600 >/dev/null 2>&1 </dev/null &')
    asyncio.run(make().start({}))
    asyncio.run(Cgroup(str(context.daemon_cgroup)).kill_all(5))
    left = Cgroup(str(context.cgroup_root))
    assert len(left.pids()) == 1
    # The next daemon.
    resource = make()
    assert asyncio.run(resource.probe()) == RUNNING
    asyncio.run(resource.stop())
    assert left.pids() == [] and not toy.runs


def test_the_guard_kills_it_by_its_step(toy: ToyOcf, make: Make, context: NodeContext) -> None:
    toy.does("start", 'touch "$running"; setsid sleep 600 >/dev/null 2>&1 </dev/null &')
    resource = make()
    asyncio.run(resource.start({}))
    (step,) = resource.guard_steps()
    assert stop.check(step) == ""
    for _ in range(20):  # the killed may take a moment to die
        if not (problem := stop.attempt(step)):
            break
    assert problem == "" and not toy.runs
    assert Cgroup(str(context.cgroup_root)).pids() == []


@pytest.mark.parametrize("code", [0, 1, 2, 4, 5, 6, 7, 8, 9, 42, 190])
@pytest.mark.parametrize("stopped", [0, 1])
def test_the_guard_judges_like_the_daemon(toy: ToyOcf, make: Make, stopped: int, code: int) -> None:
    toy.does("stop", f"exit {stopped}")
    toy.does("monitor", f"exit {code}")
    resource = make()
    (step,) = resource.guard_steps()
    by_guard = stop.attempt(step) == ""
    try:
        asyncio.run(resource.kill())
        by_daemon = True
    except ResourceError:
        by_daemon = False
    assert by_guard is by_daemon is (code == 7 or (code == 5 and stopped == 0))
