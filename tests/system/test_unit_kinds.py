"""Kind systemd with units that are no simple service: what belongs to them runs and stops with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nspawn import Machine, until

from hactl.resources.base import NodeContext, ResourceError
from hactl.resources.systemd import Unit
from tests.support.specs import resource_spec

pytestmark = pytest.mark.long

SLEEP = "[Service]\nExecStart=/bin/sleep 600\n"
Of = Callable[[str], Unit]


@pytest.fixture
def of(machine: Machine, tmp_path: Path) -> Of:
    def make(unit: str) -> Unit:
        return Unit(
            resource_spec("thing", "systemd", {"unit": unit, "bus": machine.bus}),
            NodeContext("n1", str(tmp_path), None),
        )

    return make


def install(machine: Machine, **units: str) -> None:
    """`name__kind`: text."""
    for name, text in units.items():
        machine.unit(name.replace("__", ".").replace("_at", "@"), text)


def active(machine: Machine, unit: str) -> str:
    return machine.run("systemctl", "show", "--property=ActiveState", "--value", unit).strip()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(bounded())


async def ends(unit: Unit, how: str, machine: Machine, *also: str) -> None:
    """It is stopped by `stop` or `kill`, and so is what it started."""
    assert (await unit.probe()).health == "running"
    await (unit.stop() if how == "stop" else unit.kill())
    assert (await unit.probe()).health == "stopped"
    for name in also:
        assert active(machine, name) in ("inactive", "failed"), name


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_socket_with_what_it_started(machine: Machine, of: Of, how: str) -> None:
    install(machine, talk__socket="[Socket]\nListenStream=/run/talk\n", talk__service=SLEEP)
    socket = of("talk.socket")

    async def scenario() -> None:
        assert (await socket.probe()).health == "stopped"
        await socket.start({})
        assert active(machine, "talk.service") == "inactive"
        machine.run("systemctl", "start", "talk.service")
        await ends(socket, how, machine, "talk.service", "talk.socket")
        machine.run("systemctl", "start", "talk.service")
        machine.run("systemctl", "stop", "talk.socket")
        seen = await socket.probe()
        assert (seen.health, seen.detail) == ("failed", "talk.socket is stopped, but talk.service is active")
        await socket.stop()
        assert active(machine, "talk.service") == "inactive"

    run(scenario)


def test_a_socket_with_a_service_for_each_connection(machine: Machine, of: Of) -> None:
    install(machine, each__socket="[Socket]\nListenStream=127.0.0.1:7001\nAccept=yes\n", each_at__service=SLEEP)
    socket = of("each.socket")

    async def scenario() -> None:
        await socket.start({})
        machine.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7001; exec 4<>/dev/tcp/127.0.0.1/7001")
        instances = [
            line.split()[0]
            for line in machine.run("systemctl", "list-units", "--plain", "--no-legend", "each@*").splitlines()
        ]
        assert len(instances) == 2, instances
        await ends(socket, "stop", machine, "each.socket", *instances)

    run(scenario)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_timer_whose_service_is_under_way(machine: Machine, of: Of, how: str) -> None:
    install(
        machine,
        report__timer="[Timer]\nOnActiveSec=10ms\nAccuracySec=1ms\n",
        report__service="[Service]\nType=oneshot\nExecStart=/bin/sleep 600\n",
    )
    timer = of("report.timer")

    async def scenario() -> None:
        await timer.start({})
        until(lambda: active(machine, "report.service") == "activating")
        await ends(timer, how, machine, "report.timer", "report.service")

    run(scenario)


def test_a_timer_whose_service_fails_goes_on(machine: Machine, of: Of) -> None:
    install(
        machine,
        fails__timer="[Timer]\nOnActiveSec=10ms\nOnUnitInactiveSec=1h\nAccuracySec=1ms\n",
        fails__service="[Service]\nType=oneshot\nExecStart=/bin/false\n",
    )
    timer = of("fails.timer")

    async def scenario() -> None:
        await timer.start({})
        until(lambda: active(machine, "fails.service") == "failed")
        assert (await timer.monitor()).health == "running"
        await timer.stop()

    run(scenario)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_target_with_its_own_units(machine: Machine, of: Of, how: str) -> None:
    """One says that it is a part of it, one is only wanted by it; a third one is wanted by others, too."""
    install(
        machine,
        all__target="[Unit]\nWants=wanted.service shared.service\nRequires=part.service\n",
        part__service="[Unit]\nPartOf=all.target\n" + SLEEP,
        wanted__service=SLEEP,
        shared__service=SLEEP,
        other__service="[Unit]\nWants=shared.service\n" + SLEEP,
    )
    machine.run("systemctl", "start", "other.service")
    target = of("all.target")

    async def scenario() -> None:
        await target.start({})
        assert {active(machine, f"{name}.service") for name in ("part", "wanted", "shared")} == {"active"}
        pid = machine.run("systemctl", "show", "--property=MainPID", "--value", "wanted.service").strip()
        reports: asyncio.Queue[str] = asyncio.Queue()
        watch = asyncio.create_task(target.watch(lambda seen: reports.put_nowait(f"{seen.health} {seen.detail}")))
        await asyncio.sleep(0.5)
        machine.run("sh", "-c", f"kill -9 {pid}")
        assert await reports.get() == "failed wanted.service, a part of all.target, has failed"
        watch.cancel()
        machine.run("systemctl", "start", "wanted.service")
        await ends(target, how, machine, "all.target", "part.service", "wanted.service")
        assert active(machine, "shared.service") == "active"

    run(scenario)
    machine.run("systemctl", "stop", "other.service", "shared.service")


def test_a_path_with_what_it_started(machine: Machine, of: Of) -> None:
    install(machine, came__path="[Path]\nPathExists=/run/came\n", came__service=SLEEP)
    path = of("came.path")

    async def scenario() -> None:
        await path.start({})
        machine.run("touch", "/run/came")
        until(lambda: active(machine, "came.service") == "active")
        await ends(path, "stop", machine, "came.path", "came.service")

    run(scenario)
    machine.run("rm", "/run/came")


def test_a_mount(machine: Machine, of: Of) -> None:
    """Its name has a backslash in it. While it is in use it is not stopped, and the reason is told."""
    unit = r"run-of\x2dgroup.mount"
    machine.unit(unit, "[Mount]\nWhat=tmpfs\nWhere=/run/of-group\nType=tmpfs\n")
    mount = of(unit)

    async def scenario() -> None:
        await mount.start({})
        assert "/run/of-group" in machine.run("cat", "/proc/mounts")
        await mount.stop()
        assert "/run/of-group" not in machine.run("cat", "/proc/mounts")
        await mount.start({})
        machine.run("systemd-run", "--unit=user-of-it", "sh", "-c", "cd /run/of-group && touch in && exec sleep 600")
        until(lambda: "in" in machine.run("ls", "/run/of-group").split())
        with pytest.raises(ResourceError, match="is active"):
            await mount.stop()
        machine.run("systemctl", "stop", "user-of-it.service")
        await mount.stop()

    run(scenario)


def test_an_instance_of_a_template(machine: Machine, of: Of) -> None:
    install(machine, worker_at__service="[Service]\nExecStart=/bin/sleep 60%i\n")
    one, other = of("worker@1.service"), of("worker@2.service")

    async def scenario() -> None:
        await one.start({})
        assert (await other.probe()).health == "stopped"
        await ends(one, "stop", machine, "worker@1.service")

    run(scenario)
