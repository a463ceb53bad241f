"""The checks of a resource that runs: when what they find counts, and how they are spread. On real processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hactl.daemon.observe.health_checks import HealthChecks, rounds
from hactl.model.probes import HealthProbe, Rhythm, TcpCheck
from hactl.resources.base import NodeContext, Observation
from hactl.resources.factory import make
from hactl.supervise import Tasks
from tests.integration.probes.servers import served, silent
from tests.support.specs import resource_spec

DEADLINE_S = 20.0
QUICK = Rhythm(interval_ms=40, timeout_ms=2000, fall=3)


class Checked:
    """An agent whose monitor says what is in a file, with probes; what its checks come to."""

    def __init__(self, directory: Path, *probes: HealthProbe, **more: Any) -> None:
        self.status = directory / "status"
        self.say(0)
        options = {
            "start": ["true"],
            "stop": ["true"],
            "monitor": ["/bin/sh", "-c", f'eval "exit $(cat {self.status})"'],
        }
        spec = resource_spec("agent", "exec", options, monitor_interval_ms=40, monitor_timeout_ms=5000, **more)
        self.spec = replace(spec, probes=probes)
        self.tasks = Tasks()
        resource = make(self.spec, NodeContext("n1", str(directory), None), "g")
        self.found: list[Observation] = []
        self.checks = HealthChecks("g", resource, self.spec, self.found.append, self.tasks, {})

    def say(self, status: int | str) -> None:
        new = self.status.with_suffix(".new")
        new.write_text(str(status))
        new.replace(self.status)

    @contextlib.asynccontextmanager
    async def running(self, *, started: bool = False) -> AsyncIterator[None]:
        task = asyncio.create_task(self.checks.run(started=started))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, holds: Callable[[list[Observation]], bool]) -> list[Observation]:
        """What was found until this holds of it; forgotten then."""
        async with asyncio.timeout(DEADLINE_S):
            while not holds(self.found):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        found = list(self.found)
        self.found.clear()
        return found

    async def well(self) -> None:
        await self.until(lambda found: len(found) >= 2 and all(seen.health == "running" for seen in found[-2:]))

    async def ill(self) -> Observation:
        return (await self.until(lambda found: bool(found) and found[-1].health == "failed"))[-1]


def test_so_many_bad_monitors_in_a_row_are_a_failure_and_one_good_one_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        checked = Checked(tmp_path, monitor_fall=3)
        async with checked.running():
            await checked.well()
            checked.say(1)
            found = await checked.until(lambda found: bool(found) and found[-1].health == "failed")
            assert "status 1" in found[-1].detail
            checked.say(0)
            await checked.well()

    asyncio.run(main())


def test_the_second_of_two_bad_monitors_counts_the_first_does_not(tmp_path: Path) -> None:
    """A monitor that is bad every other time never fails the resource; by `monitor_fall: 1` it does."""

    async def main(fall: int) -> list[Observation]:
        checked = Checked(tmp_path, monitor_fall=fall)
        checked.say(f"$([ -e {tmp_path}/odd ] && rm {tmp_path}/odd || {{ : > {tmp_path}/odd; echo 1; }})")
        async with checked.running():
            return await checked.until(lambda found: sum(seen.health == "running" for seen in found) >= 5)

    assert {seen.health for seen in asyncio.run(main(2))} == {"running"}
    assert {seen.health for seen in asyncio.run(main(1))} == {"running", "failed"}


def test_what_is_certain_counts_at_once(tmp_path: Path) -> None:
    """The monitor of an agent that ends with 7 says that it does not run."""

    async def main() -> None:
        checked = Checked(tmp_path, monitor_fall=100)
        async with checked.running():
            await checked.well()
            checked.say(7)
            found = await checked.until(lambda found: bool(found) and found[-1].health != "running")
            assert found[-1].health == "stopped"

    asyncio.run(main())


def test_a_probe_fails_what_its_monitor_finds_well_until_it_is_well_again(tmp_path: Path) -> None:
    async def main() -> None:
        server = await asyncio.start_server(_pong, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        probe = HealthProbe(TcpCheck(port, send="PING\n", expect="PONG"), replace(QUICK, rise=2))
        checked = Checked(tmp_path, probe)
        async with checked.running():
            await checked.well()
            server.close()
            await server.wait_closed()
            failed = await checked.ill()
            assert failed.detail == f"tcp 127.0.0.1:{port}: Connection refused"
            later = await checked.until(lambda found: len(found) >= 5)
            assert {seen.health for seen in later} == {"failed"}  # a monitor that is good does not hide it
            server = await asyncio.start_server(_pong, "127.0.0.1", port)
            await checked.well()
            server.close()

    asyncio.run(main())


async def _pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"+PONG\r\n")
    writer.close()


def test_after_the_end_of_the_resource_its_probes_say_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(silent) as port:
            pass
        checked = Checked(tmp_path, HealthProbe(TcpCheck(port), QUICK))
        checked.say(7)
        async with checked.running():
            await checked.until(lambda found: bool(found) and found[-1].health == "stopped")
            await asyncio.sleep(0.5)
            assert {seen.health for seen in checked.found} <= {"stopped"}

    asyncio.run(main())


def test_after_a_start_the_delay_holds(tmp_path: Path) -> None:
    async def first(*, started: bool) -> float:
        async with served(silent) as port:
            pass
        checked = Checked(tmp_path, HealthProbe(TcpCheck(port), replace(QUICK, fall=1, start_delay_ms=600.0)))
        began = time.monotonic()
        async with checked.running(started=started):
            await checked.ill()
        return time.monotonic() - began

    assert asyncio.run(first(started=True)) >= 0.6
    assert min(asyncio.run(first(started=False)) for _ in range(5)) < 0.6


def test_many_are_spread_over_their_interval_and_keep_it() -> None:
    """600 of them, in ten parts of their interval: in none are more than three times as many as on average."""

    async def main() -> None:
        loop, at = asyncio.get_running_loop(), list[float]()
        rhythm = Rhythm(interval_ms=1000)

        async def look() -> None:
            at.append(loop.time())
            await asyncio.sleep(0.5)

        began = loop.time()
        tasks = [asyncio.create_task(rounds(f"g{index}/r", rhythm, look)) for index in range(600)]
        await asyncio.sleep(2.55)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(at) >= 600 * 2.2  # what a look takes is not added to the interval
        parts = [sum(int((moment - began) * 10) == part for moment in at) for part in range(20)]
        assert max(parts) <= 3 * 60

    asyncio.run(main())


def test_a_look_that_is_longer_than_the_interval_is_not_made_up_for() -> None:
    async def main() -> int:
        looks = 0

        async def look() -> None:
            nonlocal looks
            looks += 1
            await asyncio.sleep(0.2)

        task = asyncio.create_task(rounds("x", Rhythm(interval_ms=10), look))
        await asyncio.sleep(1.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return looks

    assert asyncio.run(main()) <= 6


def test_many_probes_are_cheap() -> None:
    """What 600 TCP probes every ten seconds take of a processor: as much as 60 every second."""

    async def main() -> float:
        from hactl.probes.ask import ask

        async with served(silent) as port:
            probe = HealthProbe(TcpCheck(port), Rhythm(interval_ms=1000))

            async def look() -> None:
                assert (await ask(probe)).ok

            began = time.process_time()
            tasks = [asyncio.create_task(rounds(f"g{index}", probe.rhythm, look)) for index in range(60)]
            await asyncio.sleep(3)
            used = time.process_time() - began
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return used / 3

    assert asyncio.run(main()) < 0.10
