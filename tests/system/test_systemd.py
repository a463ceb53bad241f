"""Kind systemd on a real systemd: jobs, signals, crashes, restarts, the bus going away."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nspawn import Machine

from hactl.linux.errors import OperationError
from hactl.resources import factory
from hactl.resources.base import NodeContext, Observation, ResourceError
from hactl.resources.systemd import Unit
from tests.support.specs import resource_spec

# Ends slowly when asked: SIGTERM is ignored, TimeoutStopSec decides.
STUBBORN = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'trap "" TERM; while :; do sleep 1; done'
TimeoutStopSec=60
ExecStopPost=/bin/sleep 60
Restart=always
RestartSec=0
"""


def service(lines: str = "") -> str:
    return f"[Service]\nExecStart=/bin/sleep 600\n{lines}\n"


@pytest.fixture
def make(machine: Machine, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Unit]:
    """Installs the unit of this text under a name of the test's own."""
    unit = f"{request.node.name.split('[')[0].replace('_', '-')}.service"

    def install(text: str) -> Unit:
        machine.unit(unit, text)
        spec = resource_spec("thing", "systemd", {"unit": unit, "bus": machine.bus})
        made = factory.make(spec, NodeContext("n1", str(tmp_path), None))
        assert isinstance(made, Unit)
        return made

    request.addfinalizer(lambda: machine.run("systemctl", "kill", "--signal=KILL", unit))
    request.addfinalizer(lambda: machine.run("systemctl", "stop", "--no-block", unit))
    return install


def unit_of(resource: Unit) -> str:
    return str(resource.spec.options.unit)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(bounded())


def show(machine: Machine, resource: Unit, name: str) -> str:
    return machine.run("systemctl", "show", f"--property={name}", "--value", unit_of(resource)).strip()


def crash(machine: Machine, resource: Unit) -> None:
    assert machine.run("sh", "-c", f"kill -9 {show(machine, resource, 'MainPID')}") == ""


class Watching:
    """The reports of `watch`."""

    def __init__(self, resource: Unit) -> None:
        self.queue: asyncio.Queue[Observation] = asyncio.Queue()
        self.seen: list[str] = []
        self.task = asyncio.create_task(resource.watch(self.queue.put_nowait))

    async def __aenter__(self) -> Watching:
        await asyncio.sleep(0.3)
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.task.cancel()

    async def until(self, health: str, detail: str = "") -> None:
        while True:
            seen = await self.queue.get()
            self.seen.append(seen.health)
            if seen.health == health and detail in seen.detail:
                return


def test_start_stop_and_kill(machine: Machine, make: Callable[[str], Unit], tmp_path: Path) -> None:
    resource = make(service())

    async def scenario() -> None:
        assert (await resource.probe()).health == "stopped"
        await resource.start({"HACTL_EPOCH": "5"})
        await resource.start({})
        assert show(machine, resource, "ActiveState") == "active"
        assert (await resource.probe()).health == "running"
        assert "HACTL_EPOCH=5" in (tmp_path / "env" / unit_of(resource)).read_text()
        for end in (resource.stop, resource.kill):
            await resource.start({})
            await end()
            assert (await resource.probe()).health == "stopped"
            assert show(machine, resource, "ActiveState") in ("inactive", "failed")
            await end()

    run(scenario)


def test_a_crash_is_known_at_once(machine: Machine, make: Callable[[str], Unit]) -> None:
    resource = make(service())

    async def scenario() -> None:
        await resource.start({})
        async with Watching(resource) as watching:
            crash(machine, resource)
            await watching.until("stopped", "failed")
            await resource.start({})
            await resource.stop()
            await asyncio.sleep(0.2)
            assert watching.queue.empty(), "what was asked for is no news"

    run(scenario)


def test_a_crash_is_known_too_on_a_machine_without_multi_user(machine: Machine, make: Callable[[str], Unit]) -> None:
    """It is not on its way down, where that would be no failure."""
    resource = make(service())

    async def scenario() -> None:
        await resource.start({})
        machine.run("systemctl", "stop", "multi-user.target")
        try:
            async with Watching(resource) as watching:
                crash(machine, resource)
                await watching.until("stopped", "failed")
            assert (await resource.monitor()).health == "stopped"
        finally:
            machine.run("systemctl", "start", "multi-user.target")

    run(scenario)


def test_a_unit_that_systemd_restarts_is_not_stopped_until_it_is_stopped(
    machine: Machine, make: Callable[[str], Unit]
) -> None:
    resource = make(service("Restart=always\nRestartSec=600"))

    async def scenario() -> None:
        await resource.start({})
        async with Watching(resource) as watching:
            crash(machine, resource)
            await watching.until("failed", "auto-restart")
            assert (await resource.probe()).health == "failed"
            await resource.stop()
            assert (await resource.probe()).health == "stopped"
            assert show(machine, resource, "SubState") != "auto-restart"

    run(scenario)


def test_kill_is_fast_and_final_whatever_the_unit_says(machine: Machine, make: Callable[[str], Unit]) -> None:
    resource = make(STUBBORN)

    async def scenario() -> None:
        await resource.start({})
        pid = show(machine, resource, "MainPID")
        begun = time.monotonic()
        await resource.kill()
        assert time.monotonic() - begun < 30, "not by its slow stop, which takes two minutes"
        assert not (machine.root / "proc" / pid).exists()
        await asyncio.sleep(0.3)
        assert (await resource.probe()).health == "stopped", "not restarted"

    run(scenario)


def test_a_start_that_fails_names_the_journal(machine: Machine, make: Callable[[str], Unit]) -> None:
    resource = make("[Service]\nType=oneshot\nExecStart=/bin/false\n")

    async def scenario() -> None:
        for _ in range(7):  # more often than systemd's start limit lets
            with pytest.raises(
                ResourceError, match=rf"start failed, it is failed .*: journalctl -u {unit_of(resource)}"
            ):
                await resource.start({})
        oneshot = make("[Service]\nType=oneshot\nExecStart=/bin/true\n")
        with pytest.raises(ResourceError, match="RemainAfterExit=yes"):
            await oneshot.start({})

    run(scenario)


def test_an_absent_unit_and_an_absent_bus(machine: Machine, tmp_path: Path) -> None:
    context = NodeContext("n1", str(tmp_path), None)
    absent = factory.make(resource_spec("thing", "systemd", {"unit": "no-such", "bus": machine.bus}), context)
    nowhere = resource_spec("thing", "systemd", {"unit": "x", "bus": f"unix:path={tmp_path}/no-bus"})

    async def scenario() -> None:
        assert (await absent.probe()).health == "stopped"
        await absent.stop()
        with pytest.raises(ResourceError, match=r"there is no unit no-such\.service on this node"):
            await absent.start({})
        with pytest.raises(OperationError, match="cannot reach the bus"):
            await factory.make(nowhere, context).probe()

    run(scenario)
    path = machine.bus.partition("=")[2]
    assert absent.guard_steps() == ({"kind": "unit", "unit": "no-such.service", "bus": path},)


def test_the_next_daemon_watches_a_unit_it_did_not_start(machine: Machine, make: Callable[[str], Unit]) -> None:
    first = make(service())

    async def scenario() -> None:
        await first.start({})
        adopted = Unit(first.spec, first.context)
        async with Watching(adopted) as watching:
            assert watching.queue.empty()
            crash(machine, adopted)
            await watching.until("stopped")

    run(scenario)


def test_the_bus_goes_away_and_comes_back(machine: Machine, make: Callable[[str], Unit]) -> None:
    resource = make(service())

    async def scenario() -> None:
        await resource.start({})
        async with Watching(resource) as watching:
            bus_pid = machine.run("systemctl", "show", "--property=MainPID", "--value", "dbus.service").strip()
            machine.run("systemctl", "kill", "--signal=KILL", "dbus.service")
            # Changes made without a bus are seen when it is back.
            crash(machine, resource)
            await watching.until("stopped")
            assert not os.path.exists(f"{machine.root}/proc/{bus_pid}")  # noqa: ASYNC240, PTH110
            await resource.start({})
            crash(machine, resource)
            await watching.until("stopped")
            await resource.stop()

    run(scenario)


def test_a_crash_that_systemd_mends_at_once_is_reported_all_the_same(
    machine: Machine, make: Callable[[str], Unit]
) -> None:
    resource = make(service("Restart=always\nRestartSec=0"))

    async def scenario() -> None:
        await resource.start({})
        async with Watching(resource) as watching:
            for _ in range(3):  # fewer than systemd's start limit
                crash(machine, resource)
                await watching.until("failed")
                await watching.until("running")
            await resource.stop()
            assert "stopped" not in watching.seen, "not while it was about to be started again"

    run(scenario)
