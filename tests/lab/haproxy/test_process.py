"""HAProxy's end, by whatever hand, is noticed; HAProxy outlives its manager and is adopted by the next."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from hactl.haproxy.control.files import ConfigFiles
from tests.lab.haproxy.haproxy_lab import Lab, pids_of, served_again
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.mark.parametrize("victim", ["master", "worker"])
def test_killed_it_is_started_again_at_once(lab: Lab, victim: str) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            before = pids_of(lab)
            master = manager.status().pid
            assert master is not None and len(before) == 2
            workers = [pid for pid in before if pid != master]
            os.kill(master if victim == "master" else workers[0], signal.SIGKILL)
            await wait_until(lambda: lab.kinds() == ["started", "died", "started"], "died and started")
            await served_again(lab)
        assert not set(before) & set(pids_of(lab))
        assert manager.status().restarts == 1
        assert manager.status().running
        await manager.stop()
        assert pids_of(lab) == []

    asyncio.run(scenario())


def test_a_worker_that_is_frozen_does_not_stay_when_the_master_dies(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            master = manager.status().pid
            assert master is not None
            (worker,) = set(pids_of(lab)) - {master}
            os.kill(worker, signal.SIGSTOP)
            os.kill(master, signal.SIGKILL)
            await wait_until(lambda: lab.kinds() == ["started", "died", "started"], "died and started")
            # It would have shared the port and left every second client waiting.
            assert worker not in pids_of(lab)
            for _ in range(10):
                await lab.ask()
        await manager.stop()

    asyncio.run(scenario())


def test_one_that_cannot_run_is_tried_again_ever_more_slowly(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            good = lab.installed()
            lab.install("nonsense\n")
            master = manager.status().pid
            assert master is not None
            os.kill(master, signal.SIGKILL)
            await wait_until(lambda: lab.kinds().count("start_failed") >= 3, "three failed starts")
            assert not manager.status().running
            assert "unknown keyword 'nonsense'" in manager.status().error
            assert lab.kinds()[:2] == ["started", "died"]
            lab.install(good)
            await wait_until(lambda: lab.kinds()[-1] == "started", "started")
            await served_again(lab)
        assert manager.status().error == ""
        await manager.stop()

    asyncio.run(scenario())


def test_it_goes_on_when_it_is_no_longer_watched_and_ends_when_it_is_stopped(lab: Lab) -> None:
    async def scenario() -> None:
        manager = lab.manager()
        async with lab.servers("a"):
            await manager.ensure(lab.config(names="a"))
            pids = pids_of(lab)
            await manager.close()
            assert pids_of(lab) == pids
            await lab.ask()
            await manager.stop()
            assert pids_of(lab) == []
            # A configuration that was stopped is not the last that ran.
            assert not await lab.manager().resume()

    asyncio.run(scenario())


# A daemon's stand-in: starts HAProxy, says so, and waits to be killed.
DAEMON = """
import asyncio, sys
from hactl.haproxy.control.manager import HaproxyManager
from hactl.haproxy.settings import HaproxySettings
from hactl.resources.base import NodeContext

async def main():
    text, run_dir, state_dir, root = sys.argv[1:]
    manager = HaproxyManager(HaproxySettings(run_dir), NodeContext("a", state_dir, root or None))
    result = await manager.ensure(open(text).read())
    assert result.step == "start", result
    print("serves", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def start_with_a_daemon_that_is_killed(lab: Lab, text: str) -> None:
    file = lab.directory / "wanted.cfg"
    file.write_text(text)
    root = lab.context.cgroup_root or ""
    argv = [sys.executable, "-c", DAEMON, str(file), lab.settings.run_dir, lab.context.state_dir, root]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as daemon:
        try:
            assert daemon.stdout is not None
            assert any("serves" in line for line in daemon.stdout)
        finally:
            os.killpg(daemon.pid, signal.SIGKILL)


def test_it_outlives_the_daemon_and_is_adopted_by_the_next(lab: Lab) -> None:
    start_with_a_daemon_that_is_killed(lab, lab.config(names="a"))
    pids = pids_of(lab)
    assert len(pids) == 2

    async def scenario() -> None:
        async with lab.servers("a"):
            await served_again(lab)
            manager = lab.manager()
            assert await manager.resume()
            result = await manager.ensure(lab.config(names="a", revision=2))
            assert (result.step, result.changed, result.error) == ("none", False, "")
            assert lab.kinds() == ["adopted"]
            assert pids_of(lab) == pids
            # It is watched and driven like one of its own.
            assert (await manager.ensure(lab.config(names="ab"))).step == "reload"
            master = manager.status().pid
            assert master in pids
            os.kill(master, signal.SIGKILL)
            await wait_until(lambda: lab.kinds()[-2:] == ["died", "started"], "died and started")
            await served_again(lab)
            await manager.stop()

    asyncio.run(scenario())


def test_dead_with_its_daemon_it_is_started_as_it_last_ran(lab: Lab) -> None:
    start_with_a_daemon_that_is_killed(lab, lab.config(names="a"))
    for pid in pids_of(lab):
        os.kill(pid, signal.SIGKILL)

    async def scenario() -> None:
        await wait_until(lambda: not pids_of(lab), "its end")
        # The daemon died between putting a file in place and having it read.
        lab.install("nonsense\n")
        manager = lab.manager()
        assert await manager.resume()
        async with lab.servers("a"):
            await served_again(lab)
        await manager.stop()

    asyncio.run(scenario())


def test_a_step_that_a_dead_daemon_left_undone_is_done(lab: Lab) -> None:
    async def scenario() -> None:
        first = lab.manager()
        await first.ensure(lab.config(names="a"))
        await first.close()
        ConfigFiles(lab.settings).place(lab.config(names="ab"))
        manager = lab.manager()
        assert (await manager.ensure(lab.config(names="ab"))).step == "reload"
        assert {state.server for state in await manager.server_states()} == {"a", "b"}
        await manager.stop()

    asyncio.run(scenario())
