"""HAProxy that a group has: started by that alone, never beside the one of every node, never in its stead."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from hactl.daemon.parts.haproxy_switch import LocalHaproxy
from hactl.haproxy.control.in_group import InGroupManager
from hactl.haproxy.settings import HaproxyError
from tests.lab.haproxy.haproxy_lab import Lab, pids_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def of_a_group(lab: Lab) -> InGroupManager:
    made = InGroupManager(lab.settings, lab.context, lab.events.append)
    lab.managers.append(made)
    return made


def test_a_change_does_not_start_it(lab: Lab) -> None:
    async def scenario() -> None:
        manager = of_a_group(lab)
        assert (await manager.ensure(lab.config())).step == "none"
        assert pids_of(lab) == []
        await manager.start(lab.config())
        assert manager.observe().health == "running"
        assert (await manager.ensure(lab.config(live="ab"))).step == "runtime"
        await manager.stop()
        assert (manager.observe().health, pids_of(lab)) == ("stopped", [])

    asyncio.run(scenario())


def test_its_end_is_told_and_nothing_starts_it_again(lab: Lab) -> None:
    async def scenario() -> None:
        manager = of_a_group(lab)
        await manager.start(lab.config())
        pid = manager.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert "SIGKILL" in await manager.ended()
        await wait_until(lambda: not pids_of(lab), "all of it has ended")
        assert (await manager.ensure(lab.config(live="a"))).step == "none"
        # The next daemon does not take it for the HAProxy of every node, either.
        assert not await lab.manager().resume()
        assert pids_of(lab) == []
        await manager.kill()

    asyncio.run(scenario())


def test_a_refused_configuration_is_a_failed_start_unless_there_is_an_earlier_one(lab: Lab) -> None:
    async def scenario() -> None:
        manager = of_a_group(lab)
        with pytest.raises(HaproxyError, match="nonsense"):
            await manager.start(lab.config(extra=("nonsense",)))
        assert pids_of(lab) == []
        await manager.start(lab.config())
        pid = manager.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await manager.ended()
        await wait_until(lambda: not pids_of(lab), "all of it has ended")
        await manager.start(lab.config(extra=("nonsense",)))
        assert "nonsense" in manager.status().error
        await manager.kill()

    asyncio.run(scenario())


def test_there_is_one_of_both_at_any_time(lab: Lab) -> None:
    async def scenario() -> None:
        hot, grouped = lab.manager(), of_a_group(lab)
        local = LocalHaproxy(hot, grouped)
        text = lab.config()
        assert (await local.apply(text, manage_sysctl=True)).step == "start"
        with pytest.raises(HaproxyError, match="to no group"):
            await local.start_in_group(text)
        local.grouped = True
        await local.start_in_group(text)
        assert (hot.status().running, grouped.status().running, len(pids_of(lab))) == (False, True, 2)
        assert local.manager is grouped
        local.grouped = False  # its group is yet to be stopped
        assert (await local.apply(text, manage_sysctl=True)).step == "none"
        assert local.manager is grouped
        await grouped.stop()
        assert (await local.apply(text, manage_sysctl=True)).step == "start"
        assert (local.manager, len(pids_of(lab))) == (hot, 2)
        await hot.stop()

    asyncio.run(scenario())
