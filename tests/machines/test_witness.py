"""Two machines that run everything, and a third that has only etcd (docs/witness.md)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machines.cluster import Cluster
from tests.machines.phases import RUN
from tests.machines.rack import Rack


@pytest.fixture(scope="module")
def pair(machines: Rack) -> Cluster:
    """n1 and n2, freshly installed, with the witness n3."""
    machines.cut()
    for machine in machines.first_three:
        machine.reinstall()
    machines.power_on()
    pair = Cluster(machines, recommended=False, witness="n3")
    with RUN.phase("apt install ./hactl.deb on three machines at once"):
        pair.install(machines.first_three)
    with RUN.phase("hactl setup --witness --ssh"):
        pair.set_up_by_ssh()
    pair.applications(pair.machines)
    pair.configure()
    return pair


@pytest.fixture
def cluster(pair: Cluster) -> Iterator[Cluster]:
    pair.await_well()
    pair.rack.switch.orders.clear()
    yield pair
    pair.await_well()


def test_the_witness_is_lost(cluster: Cluster) -> None:
    """Nothing moves, and every node warns."""
    owner = cluster.owner("app")
    cluster.rack["n3"].cut()
    for machine in cluster.machines:
        cluster.await_said(machine, "no further member may be lost")
    assert cluster.owner("app") == owner
    assert cluster.rack.switch.fenced == []
    cluster.rack["n3"].power_on()


@pytest.mark.parametrize("name", ["n1", "n2"])
def test_a_node_is_lost(cluster: Cluster, name: str) -> None:
    """What ran there runs on the other one, with the witness's vote."""
    lost = cluster.rack[name]
    (other,) = [machine for machine in cluster.machines if machine != lost]
    if cluster.owner("app") != lost:
        other.type(f"hactl failover app --to {name}")
    lost.cut()
    assert cluster.await_running("app", elsewhere_than=lost) == other
    assert cluster.rack.switch.fenced == [name]


def test_the_witness_and_a_node_are_lost(cluster: Cluster) -> None:
    """The other node stops what is exclusive; all is well again when they are back."""
    owner = cluster.owner("app")
    (other,) = [machine for machine in cluster.machines if machine != owner]
    other.cut()
    cluster.rack["n3"].cut()
    cluster.await_said(owner, "etcd has no majority")
    cluster.await_stopped(owner, "app.service")
    other.power_on()
    cluster.rack["n3"].power_on()
