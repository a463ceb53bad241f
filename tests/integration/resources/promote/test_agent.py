"""A promoted role by an OCF agent, of the tests' own; real ones: tests/lab/resources/ocf/test_promoted.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fencing.guard import stop
from hactl.linux.cgroup import Cgroup
from hactl.resources.base import NodeContext, Observation, ResourceError
from tests.support.toy_ocf import ToyOcf
from tests.support.waiting import until, wait_until

from .conftest import Pair, pair

PROMOTED = 'touch "$dir/promoted"'
MONITOR = '[ -e "$running" ] || exit 7; crm_attribute --promotion -v 5; [ ! -e "$dir/promoted" ] || exit 8'


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyOcf:
    toy = ToyOcf(tmp_path, monkeypatch)
    toy.edit('<action name="start"', '<action name="promote" timeout="5s"/><action name="demote"/><action name="start"')
    toy.does("promote", PROMOTED)
    toy.does("demote", 'rm -f "$dir/promoted"')
    toy.does("monitor", MONITOR)
    # As those of Pacemaker's own example: what is promoted is not stopped.
    toy.does("stop", '[ ! -e "$dir/promoted" ] || exit 8; rm -f "$running"')
    return toy


@pytest.fixture
def made(context: NodeContext, toy: ToyOcf) -> Pair:
    return make(context, toy)


def make(context: NodeContext, toy: ToyOcf, **timings: float) -> Pair:
    return pair(context, "ocf", {**toy.options(), "clone_max": 3, "promoted_max": 1}, {}, **timings)


def promoted(toy: ToyOcf) -> bool:
    return (toy.dir / "promoted").exists()


def test_it_is_promoted_looked_at_and_demoted(made: Pair, toy: ToyOcf) -> None:
    async def scenario() -> None:
        assert (await made.role.probe()).health == "stopped"
        with pytest.raises(ResourceError, match="role: db/it does not run here"):
            await made.role.start({})
        await made.instance.start({})
        seen = await made.role.probe()
        assert (seen.health, seen.score) == ("stopped", 5)
        await made.role.start({})
        assert promoted(toy) and await made.role.probe() == Observation("running", score=5)
        assert await made.role.monitor() == await made.instance.monitor() == Observation("running")
        await made.role.stop()
        assert not promoted(toy) and (await made.instance.monitor()).health == "running"
        before = toy.asked().count("demote")
        await made.role.stop()
        assert toy.asked().count("demote") == before, "only what is promoted is demoted"

    asyncio.run(scenario())


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_what_is_promoted_is_demoted_before_it_is_stopped(made: Pair, toy: ToyOcf, way: str) -> None:
    async def scenario() -> None:
        await made.instance.start({})
        await made.role.start({})
        await (made.instance.stop() if way == "stop" else made.role.kill())
        assert not toy.runs and (await made.role.probe()).health == "stopped"

    asyncio.run(scenario())


def test_the_guard_stops_what_is_promoted(made: Pair, toy: ToyOcf) -> None:
    asyncio.run(made.instance.start({}))
    asyncio.run(made.role.start({}))
    (step,) = made.role.guard_steps()
    assert stop.check(step) == ""
    until(lambda: stop.attempt(step) == "", "the guard has stopped it")
    assert not toy.runs and not promoted(toy)


@pytest.mark.parametrize(
    ("monitor", "of_instance", "of_role"),
    [
        ("exit 9", "failed", "failed"),
        ("exit 1", "failed", "failed"),
        ("exit 190", "running", "stopped"),
        ("exit 191", "running", "running"),
        ("kill -9 $$", "failed", "failed"),
    ],
)
def test_what_a_monitor_says_of_both(made: Pair, toy: ToyOcf, monitor: str, of_instance: str, of_role: str) -> None:
    toy.does("monitor", monitor)
    seen = asyncio.run(made.role.monitor())
    assert (seen.health, seen.certain) == (of_role, of_role != "failed")
    assert asyncio.run(made.instance.monitor()).health == of_instance


@pytest.mark.parametrize(
    ("setting", "score", "why"),
    [
        ("crm_attribute --promotion -v 100", 100, ""),
        ("crm_master -v INFINITY", 1_000_000, ""),
        ("crm_master -v -1", None, "its agent has set the promotion score -1"),
        ("crm_master -v -INFINITY", None, "its agent has set the promotion score -1000000"),
        ("crm_master -D", None, "its agent has set no promotion score"),
    ],
)
def test_the_score_is_what_the_agent_has_set(made: Pair, toy: ToyOcf, setting: str, score: int, why: str) -> None:
    asyncio.run(made.instance.start({}))
    toy.does("monitor", f'[ -e "$running" ] || exit 7; {setting}')
    seen = asyncio.run(made.role.probe())
    assert (seen.health, seen.score) == ("stopped", score)
    assert not why or seen.detail == why
    asyncio.run(made.instance.stop())
    assert asyncio.run(made.role.probe()).score is None, "what does not run must not be promoted"


def test_no_two_actions_run_at_one_time(made: Pair, toy: ToyOcf) -> None:
    """Not even of the two resources that drive it."""
    busy = '[ ! -e "$dir/busy" ] || touch "$dir/twice"; touch "$dir/busy"; sleep 0.05; rm "$dir/busy"; '
    toy.does("monitor", busy + MONITOR)
    toy.does("promote", busy + PROMOTED)

    async def scenario() -> None:
        await made.instance.start({})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.role.start({}))
            for _ in range(3):
                tasks.create_task(made.instance.start({}))
                tasks.create_task(made.role.probe())

    asyncio.run(scenario())
    assert promoted(toy) and not (toy.dir / "twice").exists()


def test_while_it_is_promoted_its_own_monitor_does_not_wait(made: Pair, toy: ToyOcf) -> None:
    """A promotion that takes long is no failure of the instance."""
    toy.does("promote", f'touch "$dir/promoting"; while [ ! -e "$dir/go" ]; do sleep 0.01; done; {PROMOTED}')

    async def scenario() -> None:
        await made.instance.start({})
        assert (await made.instance.monitor()).health == "running"
        promoting = asyncio.create_task(made.role.start({}))
        await wait_until((toy.dir / "promoting").exists)
        asked = len(toy.asked())
        assert await made.instance.monitor() == Observation("running")
        assert len(toy.asked()) == asked
        (toy.dir / "go").touch()
        await promoting

    asyncio.run(scenario())


def test_a_kill_does_not_wait_for_a_promotion_that_hangs(made: Pair, toy: ToyOcf) -> None:
    toy.does("promote", 'touch "$dir/promoting"; sleep 600')

    async def scenario() -> None:
        await made.instance.start({})
        promoting = asyncio.create_task(made.role.start({}))
        await wait_until((toy.dir / "promoting").exists)
        await asyncio.wait_for(made.role.kill(), 10)
        assert not toy.runs
        with pytest.raises(ResourceError):
            await promoting

    asyncio.run(scenario())


def test_a_promotion_that_fails_says_why(made: Pair, toy: ToyOcf) -> None:
    toy.does("promote", 'echo "ocf-exit-reason:no quorum" >&2; exit 1')
    asyncio.run(made.instance.start({}))
    with pytest.raises(ResourceError, match="role: promote: exit status 1: it has failed: no quorum"):
        asyncio.run(made.role.start({}))
    toy.does("promote", "exit 0")
    with pytest.raises(ResourceError, match="promote ended with exit status 0, but monitor: exit status 0"):
        asyncio.run(made.role.start({}))


def test_what_promote_starts_lives_and_is_killed_with_the_instance(
    made: Pair, toy: ToyOcf, context: NodeContext
) -> None:
    """There are agents that start their program by it, such as galera."""
    toy.does("promote", f"sleep 600 & {PROMOTED}")
    asyncio.run(made.instance.start({}))
    asyncio.run(made.role.start({}))
    assert len(Cgroup(str(context.cgroup_root)).pids()) == 1
    asyncio.run(made.role.kill())
    assert Cgroup(str(context.cgroup_root)).pids() == []


def test_ready_says_that_its_agent_cannot_promote(made: Pair, toy: ToyOcf) -> None:
    assert asyncio.run(made.role.ready()) == ""
    toy.edit('<action name="promote" timeout="5s"/>', "")
    assert asyncio.run(made.role.ready()) == "test:toy cannot promote: it has no `promote` and `demote`"
    toy.path.unlink()
    assert "there is no agent test:toy on this node" in asyncio.run(made.role.ready())


def test_a_periodic_monitor_is_told_its_role(made: Pair, toy: ToyOcf) -> None:
    toy.does("monitor", 'echo "$OCF_RESKEY_CRM_meta_interval $OCF_RESKEY_CRM_meta_role" >>"$dir/roles"')
    asyncio.run(made.role.probe())
    asyncio.run(made.role.monitor())
    asyncio.run(made.instance.monitor())
    assert (toy.dir / "roles").read_text() == "0 \n10000 Promoted\n10000 \n"
