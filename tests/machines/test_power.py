"""Machines that lose their power, or their network."""

from __future__ import annotations

import pytest

from tests.machines.cluster import APP, Cluster, note
from tests.machines.phases import RUN


@pytest.mark.short
def test_power_cut_of_the_machine_with_the_application(cluster: Cluster) -> None:
    """It is fenced, then the application runs elsewhere. Fencing switches it on again, and it joins by itself."""
    owner = cluster.owner("app")
    with cluster.rack.probe(APP) as probe:
        owner.cut()
        cluster.await_well()
    assert probe.result is not None
    note("power_cut_gap_ms", round(probe.result.outage_ms))
    note("power_cut_timeline", cluster.owner("app").look("hactl", "timeline", "app"))
    assert cluster.rack.switch.fenced == [owner.name]
    assert cluster.owner("app") != owner


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_power_cut_of_each(cluster: Cluster, name: str) -> None:
    """Also of a machine without the application, which nobody needs to fence: an operator switches it on."""
    machine = cluster.rack[name]
    owner = cluster.owner("app")
    machine.cut()
    if machine != owner:
        cluster.await_seen(machine, "dead")
        machine.power_on()
    cluster.await_well()
    assert cluster.rack.switch.fenced == [name] * (machine == owner)


def test_power_cut_of_all_at_once(cluster: Cluster) -> None:
    """All come back by themselves when the power does; none is fenced for it."""
    cluster.rack.cut()
    with RUN.phase("boot of all at once") as phase:
        cluster.rack.power_on()
        cluster.await_well()
    note("boot_of_all_until_ok_seconds", phase.seconds)


def test_a_frozen_machine_is_fenced(cluster: Cluster) -> None:
    owner = cluster.owner("app")
    owner.freeze(True)
    cluster.await_well()
    assert cluster.rack.switch.fenced == [owner.name]


def test_a_machine_without_network_is_fenced_and_joins_when_it_is_plugged_in(cluster: Cluster) -> None:
    """Its disk and power are well, so it boots at once, without network, and waits."""
    owner = cluster.owner("app")
    owner.unplug()
    cluster.await_running("app", elsewhere_than=owner)
    owner.plug()
    cluster.await_well()
    assert cluster.rack.switch.fenced == [owner.name]
