"""What the checks of a resource come to: a failure, its end, and a configuration that changes only the checks."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from hactl.model import events
from hactl.model.cluster import GroupSpec
from hactl.model.probes import HealthProbe, TcpCheck
from tests.support.daemon import Daemon
from tests.support.scene import Scene
from tests.unit.decide.test_first_steps import scene
from tests.unit.decide.test_group_steps import beside


def owner() -> tuple[Scene, Daemon]:
    """n1, which owns `vip` and runs it."""
    here = scene()
    daemon = beside(here)
    for _ in range(5):
        daemon.wait(300)
        daemon.watch()
    assert daemon.state.runs["vip"].running
    daemon.done.clear()
    return here, daemon


def failing(daemon: Daemon, times: int) -> None:
    for _ in range(times):
        daemon.run(events.Observed("vip", "address", "failed", "tcp 127.0.0.1:80: Connection refused"))


def test_what_gets_well_while_it_waits_is_not_restarted() -> None:
    _, daemon = owner()
    failing(daemon, 1)
    assert [done for done in daemon.done if "vip/" in done][:1] == ["stop vip/address"]  # the first time at once
    daemon.done.clear()
    failing(daemon, 1)
    assert daemon.state.runs["vip"].health["address"] == "failed"
    daemon.run(events.Observed("vip", "address", "running"))
    assert daemon.state.runs["vip"].running
    assert "resource_recovered" in daemon.log
    for _ in range(10):
        daemon.wait(300)
        daemon.watch()
    assert [done for done in daemon.done if done.startswith(("stop", "kill", "start"))] == []


def test_what_could_not_be_stopped_does_not_get_well() -> None:
    _, daemon = owner()
    run = daemon.state.runs["vip"]
    run.health["address"], run.stop_failed = "failed", "address: it does not stop"
    daemon.take(events.Observed("vip", "address", "running"))
    assert run.health["address"] == "failed"


def test_another_probe_restarts_nothing_another_address_does() -> None:
    here, daemon = owner()

    def configure(change: dict[str, object]) -> None:
        def changed(group: GroupSpec) -> GroupSpec:
            resources = tuple(msgspec.structs.replace(resource, **change) for resource in group.resources)
            return replace(group, resources=resources) if group.name == "vip" else group

        spec = replace(here.spec, groups=tuple(changed(group) for group in here.spec.groups))
        daemon.run(events.Configured(daemon.state.config_seen, spec))
        daemon.wait(300)

    probe = HealthProbe(TcpCheck(80))
    configure({"probes": (probe,), "monitor_fall": 5, "monitor_interval_ms": 500.0})
    assert daemon.state.runs["vip"].spec.resources[0].probes == (probe,)
    assert [done for done in daemon.done if "vip/" in done] == []
    configure({"stop_timeout_ms": 1.0})
    assert "stop vip/address" in daemon.done
