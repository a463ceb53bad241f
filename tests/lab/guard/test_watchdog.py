"""A real guard and a watchdog that counts in a file: how the guard uses it over its life."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fencing.guard import client as guard_client
from fencing.linux.clock import now
from hactl.daemon.guard_link import open_link
from hactl.daemon.observe.watchdog import WatchdogFollower
from hactl.model.events import Watchdog
from tests.lab.guard.guard_lab import ROOT, Lab, wait_for
from tests.support.guard_client import GuardClient, GuardRefusedError
from tests.support.promises import promised

pytestmark = pytest.mark.root

STEP = {"kind": "command", "argv": ["true"], "timeout_ms": 1000}
TIMES = {"lease_ms": 4500, "stop_budget_ms": 2000, "self_fence_lead_ms": 300}
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from fencing.guard.program import main; "
    "from tests.support.watchdog import WatchdogInFile; sys.exit(main(open_device=WatchdogInFile))"
)


class Fake:
    """The device, seen from outside."""

    def __init__(self, lab: Lab) -> None:
        self.path = lab.directory / "watchdog"

    def __getitem__(self, key: str) -> Any:
        return json.loads(self.path.read_text())[key]

    def fail(self) -> None:
        self.path.with_suffix(".order").write_text("fail")


@pytest.fixture
def fake(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(guard_client, "_START", _START)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert (ROOT / "tests/support/watchdog.py").exists()
    yield Fake(lab)


def begin(lab: Lab, lease_ms: float = 60_000, use: str = "use") -> GuardClient:
    """A guard with a watchdog, and a session of this process."""
    lab.spawn_guard(watchdog=use, watchdog_device=str(lab.directory / "watchdog"))
    client = GuardClient(lab.spec.socket, 5.0)
    client.adopt()
    client.begin("s1", 500, 100, now().plus(lease_ms))
    return client


def told(lab: Lab) -> dict[str, Any]:
    watchdog = lab.status().watchdog
    assert watchdog is not None
    return dict(watchdog)


def test_it_is_armed_when_a_session_begins_and_bound_before_a_register_is_acknowledged(lab: Lab, fake: Fake) -> None:
    lab.spawn_guard(watchdog="use", watchdog_device=str(fake.path))
    assert not fake.path.exists()  # a session is awaited
    with GuardClient(lab.spec.socket, 5.0) as client:
        client.adopt()
        client.begin("s1", 500, 100, now().plus(9000))
        wait_for(lambda: fake.path.exists() and fake["timeout_s"] == 10)
        assert told(lab)["armed"]
        until = now().plus(4500)
        client.extend("s1", 500, 100, until)
        client.register("db", [STEP])
        promised(fake["bites"] <= until.boot, "the watchdog bites after the lease")
        client.unregister("db")
        wait_for(lambda: fake["timeout_s"] == 10)


def test_a_guard_that_is_killed_leaves_it_to_bite_before_the_lease_ends(lab: Lab, fake: Fake) -> None:
    guard = lab.spawn_guard(watchdog="required", watchdog_device=str(fake.path))
    _, step = lab.resource("db")
    daemon, _ = lab.daemon(register={"db": [step]}, **TIMES)
    wait_for(lambda: told(lab)["armed"])
    until = lab.status().valid_until
    os.kill(guard, signal.SIGKILL)
    assert daemon.wait(10) == 7
    assert until is not None
    assert fake["running"]
    # Renewed once more, perhaps, since it was asked.
    promised(fake["bites"] <= until.boot + 1000, "the watchdog bites after the lease")


def test_when_everything_was_stopped_it_is_fed_again(lab: Lab, fake: Fake) -> None:
    lab.spawn_guard(watchdog="use", watchdog_device=str(fake.path))
    resource, step = lab.resource("db")
    daemon, _ = lab.daemon(register={"db": [step]}, **TIMES)
    daemon.send_signal(signal.SIGSTOP)
    until = lab.status().valid_until
    assert until is not None
    lab.record("stopped")
    assert resource.poll() is not None
    wait_for(lambda: fake["bites"] > until.boot)
    assert lab.status().phase == "stopped"


def test_a_clean_end_switches_it_off(lab: Lab, fake: Fake) -> None:
    client = begin(lab)
    wait_for(lambda: told(lab)["armed"])
    pid = lab.status().pid
    client.register("db", [STEP])
    os.kill(pid, signal.SIGTERM)
    assert wait_for(lambda: lab.events("signal_ignored"))
    assert fake["running"]
    client.unregister("db")
    os.kill(pid, signal.SIGTERM)
    assert wait_for(lambda: lab.events("watchdog_closed"))[0]["problem"] == ""
    assert not fake["running"]
    client.close()


@pytest.mark.parametrize("use", ["use", "required"])
def test_without_it_nothing_is_registered_where_it_is_required(lab: Lab, fake: Fake, use: str) -> None:
    fake.fail()
    with begin(lab, use=use) as client:
        if use == "use":
            client.register("db", [STEP])
        else:
            with pytest.raises(GuardRefusedError, match="requires, is not armed: Input/output error"):
                client.register("db", [STEP])
        assert told(lab)["problem"] == "Input/output error"
        client.unregister("db")


def test_a_watchdog_that_fails_once_armed_lets_nothing_be_registered_for_now(lab: Lab, fake: Fake) -> None:
    with begin(lab) as client:
        wait_for(lambda: told(lab)["armed"])
        fake.fail()
        with pytest.raises(GuardRefusedError, match="may not know yet"):
            client.register("db", [STEP])
        assert not told(lab)["armed"]


def test_the_daemon_hears_of_it(lab: Lab, fake: Fake) -> None:
    async def scene() -> None:
        told: asyncio.Queue[Watchdog] = asyncio.Queue()
        lab.spawn_guard(watchdog="required", watchdog_device=str(fake.path))
        link = await open_link(lab.spec)
        follower = WatchdogFollower("required", told.put_nowait)
        task = asyncio.create_task(follower.run(link))
        await link.adopt()
        assert (await link.begin("s1", 500, 100, now().plus(60_000))).ok
        async with asyncio.timeout(15):
            assert await told.get() == Watchdog(True, required=True)
            fake.fail()
            assert not (await link.register("db", [STEP])).ok
            assert await told.get() == Watchdog(False, required=True)
        assert follower.status is not None
        assert follower.status["problem"] == "Input/output error"
        await link.close()
        await task

    asyncio.run(scene())


def test_a_guard_that_fences_its_node_has_it_bite_at_once_and_feeds_no_more(lab: Lab, fake: Fake) -> None:
    with begin(lab) as client:
        wait_for(lambda: told(lab)["armed"])
        client.register("db", [STEP])
        assert fake["timeout_s"] > 30
        client.fence("a test")  # the lab's way: nothing is rebooted
        wait_for(lambda: fake["timeout_s"] == 1)
        bites = fake["bites"]
        assert bites < now().boot + 1100
        client.extend("s1", 500, 100, now().plus(90_000))
        wait_for(lambda: now().boot > bites)
        assert fake["bites"] == bites
        client.unregister("db")
