"""Actions of fence jobs by real agents, and the tests of the devices that each node makes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from election.records import FenceTest
from fencing import job
from fencing.linux.clock import now
from fencing.topology import Target
from hactl.config.node import NodeConfig
from hactl.daemon.metrics import Metrics
from hactl.daemon.observe import device_monitor
from hactl.daemon.observe.device_monitor import DeviceMonitor
from hactl.daemon.parts import fence_devices
from hactl.daemon.parts.fence_devices import act, preload
from hactl.decide.state import Work
from hactl.model.effects import FenceAct
from hactl.model.events import FenceActed
from tests.support.scene import KEYS, Scene, fenced, spec
from tests.support.stand_in import StandIn
from tests.support.toy_agent import ToyAgent

DEADLINE_S = 20.0


@pytest.fixture
def toy(tmp_path: Path) -> ToyAgent:
    return ToyAgent(tmp_path)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test knows the agents of another."""
    fence_devices._known.clear()
    yield
    fence_devices._known.clear()


# --- actions ------------------------------------------------------------------------------------------------------


def do(toy: ToyAgent, action: Any, *, known: bool = True, timeout_ms: float = 10_000, **more: Any) -> FenceActed:
    cluster = spec(fenced(toy.device(**more.pop("options", {}))))

    async def main() -> FenceActed:
        if known:
            await preload(cluster.fencing)
        target = more.pop("target", Target("switch", "n1"))
        return await act(cluster, FenceAct(7, "n1", target, action, timeout_ms, **more))

    return asyncio.run(main())


def test_off_is_reported_by_the_agent_and_verified_by_status(toy: ToyAgent) -> None:
    assert do(toy, "status") == FenceActed(7, True, "on", "Status: ON")
    assert do(toy, "off")[:3] == (7, True, "unknown")
    assert toy.power("n1") == "off"
    assert do(toy, "status")[:3] == (7, True, "off")
    assert do(toy, "on").ok and do(toy, "status").power == "on"
    assert toy.asked()[0] == "status n1 n1"


def test_the_plug_is_called_as_the_agent_calls_it(toy: ToyAgent) -> None:
    toy.path.write_text(toy.path.read_text().replace("outlet | plug | port)", "plug)"))
    assert do(toy, "off").ok and toy.power("n1") == "off"


def test_an_agent_that_is_not_known_yet_is_not_asked_first(toy: ToyAgent) -> None:
    toy.path.write_text(toy.path.read_text().replace("= metadata ]", "= metadata ]; then exit 1; elif false"))
    assert do(toy, "off", known=False).ok
    assert toy.power("n1") == "off"


def test_no_plug_is_none(toy: ToyAgent) -> None:
    assert do(toy, "status", target=Target("switch")).ok
    assert toy.asked() == ["status - n1"]


def test_a_secret_reaches_the_agent_and_nobody_else(toy: ToyAgent) -> None:
    toy.put("key", "sesame\n")
    (toy.place / "key").chmod(0o600)
    toy.put("broken")
    done = do(toy, "off", options={"password": f"{{file: {toy.place}/key}}"})
    assert not done.ok and done.detail == "exit status 1: the switch is on fire, ***"


def test_a_secret_that_is_not_there_is_a_failure(toy: ToyAgent) -> None:
    done = do(toy, "off", options={"password": f"{{file: {toy.place}/key}}"})
    assert not done.ok and "No such file" in done.detail and toy.asked() == []


def test_an_action_that_runs_into_its_deadline_has_failed(toy: ToyAgent) -> None:
    toy.put("slow")
    done = do(toy, "off", timeout_ms=300)
    assert (done.ok, done.power) == (False, "unknown") and "did not end within 0.3 s" in done.detail
    assert toy.power("n1") == ""


def test_an_action_that_could_come_too_late_is_not_begun(toy: ToyAgent) -> None:
    done = do(toy, "off", timeout_ms=5000, until=now().plus(4900))
    assert not done.ok and done.detail.startswith("not begun") and toy.asked() == []
    assert do(toy, "off", timeout_ms=5000, until=now().plus(60_000)).ok


def test_a_device_that_is_not_configured_any_more(toy: ToyAgent) -> None:
    assert "there is no device `gone`" in do(toy, "off", target=Target("gone")).detail


def test_an_agent_that_is_not_there(toy: ToyAgent) -> None:
    toy.path.unlink()
    assert "there is no fence agent" in do(toy, "off").detail


# --- tests of the devices -----------------------------------------------------------------------------------------


class Bench:
    """A monitor on n2, with a store; `notes` are its events."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.metrics = Metrics()
        self.host = StandIn(
            scene, NodeConfig(cluster="demo", node="n2", metrics_listen="", operate_group="", read_group="")
        )
        self.host.state.session.session_revision = scene.holder("n2").session_revision
        self.monitor = DeviceMonitor(
            self.host, lambda event, data: self.notes.append((event, data)), lambda tell: tell(self.metrics)
        )

    async def until(self, look: Callable[[], Any], expected: str) -> Any:
        """Let it run until there is something; the steps of the daemon are imitated by the looks."""
        deadline = time.monotonic() + DEADLINE_S
        while not (result := look()):
            assert time.monotonic() < deadline, expected
            self.monitor.look(self.host.state)
            await asyncio.sleep(0.01)
        return result

    def report(self) -> dict[tuple[str, str], bool]:
        """The report in the store: node and device to whether it is well."""
        report = self.scene.view.devices.get("n2")
        return {(target["node"], target["plug"]): target["ok"] for target in report.record.targets} if report else {}

    def ask(self, name: str) -> None:
        """Wish for a test."""
        self.scene.put(KEYS.fence_test, FenceTest(name))

    async def answered(self, name: str) -> list[dict[str, Any]]:
        """The targets of the report that answers a request."""

        def look() -> Any:
            report = self.scene.view.devices.get("n2")
            return report.record if report is not None and report.record.test == name else None

        return list((await self.until(look, f"{name} is answered")).targets)

    def play(self, scene: Callable[[], Any]) -> None:
        """Run the monitor while `scene` does."""

        async def main() -> None:
            watch = self.host.follow(asyncio.get_running_loop())
            running = asyncio.create_task(self.monitor.run())
            try:
                await scene()
                assert not running.done(), running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await asyncio.to_thread(watch.cancel)

        asyncio.run(main())


@pytest.fixture
def bench(toy: ToyAgent, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(device_monitor, "SPREAD_S", 0.0)
    monkeypatch.setattr(device_monitor, "RETRY_S", 0.02)
    scene = Scene(cluster=fenced(toy.device()))
    scene.join("n1", "n2", "n3")
    return Bench(scene)


WELL = {("n1", "n1"): True, ("n2", "n2"): True, ("n3", "n3"): True}


def test_a_new_configuration_is_tested_and_told(bench: Bench, toy: ToyAgent) -> None:
    async def scene() -> None:
        await bench.until(lambda: bench.report() == WELL, "it is told")

    bench.play(scene)
    assert toy.asked() == ["monitor - -", "status n1 n1", "status n2 n2", "status n3 n3"]
    assert bench.notes == []
    metrics = bench.metrics.text().decode()
    assert 'hactl_fence_device_ok{device="switch",plug="n3",target="n3"} 1.0' in metrics
    assert "hactl_fence_test_timestamp_seconds 0" not in metrics


def test_agents_are_known_before_they_are_tested(bench: Bench, toy: ToyAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_monitor, "SPREAD_S", 3600.0)

    async def scene() -> None:
        await bench.until(lambda: str(toy.path) in fence_devices._known, "it is known")

    bench.play(scene)
    assert toy.asked() == []


def test_an_outcome_that_is_the_same_is_not_told_again(bench: Bench, toy: ToyAgent) -> None:
    bench.host.state.cluster = spec(fenced(toy.device()).replace("fencing: {dev", "fencing: {test_interval: 1ms, dev"))

    async def scene() -> None:
        await bench.until(lambda: bench.report() == WELL, "it is told")
        mod = bench.scene.view.devices["n2"].mod_revision
        asked = len(toy.asked())
        await bench.until(lambda: len(toy.asked()) > asked + 8, "it is tested again")
        assert bench.scene.view.devices["n2"].mod_revision == mod

    bench.play(scene)


def test_a_device_that_fails_is_an_event_a_metric_and_a_report(bench: Bench, toy: ToyAgent) -> None:
    async def scene() -> None:
        bench.ask("t1")
        since = (await bench.answered("t1"))[0]["since"]
        toy.put("broken")
        bench.ask("t2")
        (first, *_) = await bench.answered("t2")
        assert (first["node"], first["ok"], first["power"]) == ("n1", False, "unknown")
        assert first["detail"] == "monitor: exit status 1: the switch is on fire,"
        assert first["since"] >= since
        assert 'device_ok{device="switch",plug="n1",target="n1"} 0.0' in bench.metrics.text().decode()
        bench.ask("t3")
        assert (await bench.answered("t3"))[0]["since"] == first["since"]
        (toy.place / "broken").unlink()
        bench.ask("t4")
        assert all(target["ok"] for target in await bench.answered("t4"))

    bench.play(scene)
    assert [event for event, _ in bench.notes] == ["fence_device_failed"] * 3 + ["fence_device_ok"] * 3
    problem = "monitor: exit status 1: the switch is on fire,"
    assert bench.notes[0][1] == {"device": "switch", "plug": "n1", "target": "n1", "problem": problem}


def test_a_device_that_calls_a_live_node_off_is_the_wrong_one(bench: Bench, toy: ToyAgent) -> None:
    toy.put("power-n3", "off")

    async def scene() -> None:
        bench.ask("t1")
        targets = await bench.answered("t1")
        assert [target["ok"] for target in targets] == [True, True, False]
        assert targets[2]["detail"] == "it says that n3 is off, which is alive: another machine is meant"
        bench.scene.delete(KEYS.node("n3"))
        await bench.until(lambda: "n3" not in bench.host.state.view.sessions, "it is seen")
        bench.ask("t2")
        assert [(target["ok"], target["power"]) for target in await bench.answered("t2")][2] == (True, "off")

    bench.play(scene)


def test_of_several_outlets_one_may_be_off(toy: ToyAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_monitor, "SPREAD_S", 0.0)
    outlets = "[{devices: [{device: switch, plug: %s}, {device: switch, plug: %s-b}]}]"
    scene = Scene(cluster=fenced(toy.device(), levels=outlets))
    scene.join("n1", "n2", "n3")
    two = Bench(scene)
    toy.put("power-n3", "off")

    async def play() -> None:
        two.ask("t1")
        (detail,) = {target["detail"] for target in await two.answered("t1") if not target["ok"]}
        assert "this one of its outlets is off (switch it on by hand)" in detail

    two.play(play)


def test_a_daemon_that_comes_back_does_not_tell_the_same_again(bench: Bench, toy: ToyAgent) -> None:
    async def scene() -> None:
        bench.ask("t1")
        toy.put("broken")
        await bench.answered("t1")

    bench.play(scene)
    again = Bench(bench.scene)
    mod = bench.scene.view.devices["n2"].mod_revision
    asked = len(toy.asked())

    async def later() -> None:
        await again.until(lambda: len(toy.asked()) > asked, "it tests")
        await again.until(lambda: again.monitor._results is not None, "it has tested")

    again.play(later)
    assert again.notes == []
    assert bench.scene.view.devices["n2"].mod_revision == mod


def test_nothing_is_told_without_a_session(bench: Bench, toy: ToyAgent) -> None:
    async def scene() -> None:
        bench.scene.delete(KEYS.node("n2"))
        bench.scene.join("n2")  # another session than the one that this daemon has
        await bench.until(lambda: bench.monitor._results is not None, "it has tested")
        await bench.monitor._say(bench.host.state)
        assert bench.report() == {}

    bench.play(scene)


def test_a_fence_job_ends_a_test_and_none_begins_while_it_lasts(bench: Bench, toy: ToyAgent) -> None:
    state = bench.host.state
    toy.put("slow")

    async def scene() -> None:
        bench.ask("t1")
        await bench.until(toy.asked, "a test has begun")
        state.fencing["n1"] = Work("s-n1", job.begin(spec(fenced(toy.device())).fencing.of("n1"), 0.0, now()))
        await bench.until(lambda: bench.monitor._testing and bench.monitor._testing.done(), "it has ended")
        (toy.place / "slow").unlink()
        asked = len(toy.asked())
        for _ in range(20):
            bench.monitor.look(state)
            await asyncio.sleep(device_monitor.RETRY_S)
        assert len(toy.asked()) == asked and bench.report() == {}
        del state.fencing["n1"]
        await bench.answered("t1")

    bench.play(scene)


def test_devices_that_are_not_configured_any_more_are_forgotten(bench: Bench, toy: ToyAgent) -> None:
    async def scene() -> None:
        await bench.until(lambda: bench.report() == WELL, "it is told")
        bench.host.state.cluster = spec()
        await bench.until(lambda: bench.report() == {}, "it is told that there are none")

    bench.play(scene)
    assert "hactl_fence_device_ok{" not in bench.metrics.text().decode()


def test_a_mistake_of_ours_ends_nothing(bench: Bench, toy: ToyAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fence_devices.preload
    failures = iter([True, True])

    async def failing(topology: Any) -> None:
        if next(failures, False):
            raise RuntimeError("a mistake")
        await kept(topology)

    monkeypatch.setattr(fence_devices, "preload", failing)

    async def scene() -> None:
        await bench.until(lambda: bench.report() == WELL, "it is told at the next try")

    bench.play(scene)


def test_a_device_that_failed_is_tested_again_soon() -> None:
    waits = [device_monitor.next_test_s(600.0, failed) for failed in range(6)]
    assert waits == [600.0, 10.0, 20.0, 30.0, 30.0, 30.0]
    assert device_monitor.next_test_s(5.0, 3) == 5.0
