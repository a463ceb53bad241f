"""Machines are added, removed, replaced and renamed while everything runs (docs/membership.md)."""

from __future__ import annotations

import uuid
from typing import Any

from hactl.lab.system import wait_until
from tests.machines import manual
from tests.machines.cluster import WEB, Cluster, note
from tests.machines.machine import BOOT_S, Machine
from tests.machines.phases import RUN

CHANGE_S = 300.0
PAGE = "membership.md"


def typed(begins: str, more: str = "--ssh") -> str:
    """The command of the manual, with which the machines do their part by themselves."""
    return f"{manual.command(PAGE, begins)} {more}"


def nodes(cluster: Cluster, asked: Machine) -> dict[str, str]:
    """Every node and its state."""
    return {node["name"]: node["state"] for node in cluster.status(asked).get("nodes", [])}


def await_nodes(cluster: Cluster, *names: str) -> None:
    """Wait until these are the nodes, all in use, and every group runs."""
    first = cluster.machines[0]

    def there() -> bool:
        groups: list[dict[str, Any]] = cluster.status(first).get("groups", [])
        online = nodes(cluster, first) == dict.fromkeys(names, "online")
        return online and bool(groups) and all(group["state"] == "running" for group in groups)

    wait_until(there, deadline_s=BOOT_S, goal=f"{', '.join(names)} are online, and all runs", every_s=0.3)


def await_members(cluster: Cluster, *names: str) -> None:
    """Wait until these are the members of etcd, all of which vote and have started."""

    def there() -> bool:
        known = cluster.status(cluster.machines[0])["etcd"]["members"]
        return sorted(member["name"] for member in known if member["urls"] and not member["learner"]) == sorted(names)

    wait_until(there, deadline_s=BOOT_S, goal=f"etcd has the members {', '.join(names)}", every_s=0.3)


def test_a_machine_comes_and_goes(cluster: Cluster) -> None:
    """A fourth machine, made as a clone of the second: it is refused until it has a machine id of its own."""
    comes(cluster)
    goes(cluster)
    assert cluster.rack.switch.fenced == []


def comes(cluster: Cluster) -> None:
    first, fourth = cluster.machines[0], cluster.rack["n4"]
    fourth.reinstall(machine_id=cluster.rack["n2"].machine_id)
    cluster.rack.power_on([fourth])
    cluster.install([fourth])
    cluster.applications([fourth])
    add = typed("hactl node add")
    said = first.type(add, ok=False, timeout_s=CHANGE_S)
    assert "has the machine id of n2" in said
    assert nodes(cluster, first).keys() == {"n1", "n2", "n3"}
    # By hand: in a container systemd-machine-id-setup gives the id again with which it was started.
    fourth.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
    with RUN.phase("hactl node add") as phase, cluster.rack.probe(WEB) as probe:
        first.type(add, timeout_s=CHANGE_S)
    note("node_add_seconds", phase.seconds)
    await_nodes(cluster, "n1", "n2", "n3", "n4")
    assert probe.result is not None and probe.result.failed == 0
    await_members(cluster, "n1", "n2", "n3")
    with RUN.phase("hactl node add --etcd") as phase:
        first.type("hactl node add n4 --etcd --ssh", timeout_s=CHANGE_S)
    await_members(cluster, "n1", "n2", "n3", "n4")
    await_nodes(cluster, "n1", "n2", "n3", "n4")


def goes(cluster: Cluster) -> None:
    """It has an address when it goes; nothing of it is left in `hactl status`."""
    first, fourth = cluster.machines[0], cluster.rack["n4"]
    first.type("hactl failover vip --to n4")
    with RUN.phase("hactl node remove") as phase, cluster.rack.probe(WEB) as probe:
        first.type(typed("hactl node remove", "--ssh --yes"), timeout_s=CHANGE_S)
    note("node_remove_seconds", phase.seconds)
    assert probe.result is not None and probe.result.failed == 0
    fourth.type(manual.command(PAGE, "apt purge"))
    cluster.await_well()
    await_members(cluster, "n1", "n2", "n3")
    for machine in cluster.machines:
        assert "n4" not in machine.look("hactl", "status"), machine.name
        assert "10.77.0.14" not in machine.look("cat", "/etc/hactl/node.toml")
    fourth.cut()


def test_a_machine_is_reinstalled_under_its_name(cluster: Cluster) -> None:
    """Its disk is lost; a fence device has switched it off, so that nobody has to give a word."""
    first, third = cluster.machines[0], cluster.rack["n3"]
    first.type("hactl fence n3 --off --yes", timeout_s=CHANGE_S)
    third.await_off()
    third.reinstall()
    cluster.rack.power_on([third])
    cluster.install([third])
    cluster.applications([third])
    with RUN.phase("hactl node replace") as phase, cluster.rack.probe(WEB) as probe:
        first.type(typed("hactl node replace"), timeout_s=CHANGE_S)
    note("node_replace_seconds", phase.seconds)
    assert probe.result is not None and probe.result.failed == 0
    cluster.await_well()
    await_members(cluster, "n1", "n2", "n3")


def test_a_machine_gets_another_name(cluster: Cluster) -> None:
    first = cluster.machines[0]
    with RUN.phase("hactl node rename") as phase, cluster.rack.probe(WEB) as probe:
        first.type(typed("hactl node rename"), timeout_s=CHANGE_S)
    note("node_rename_seconds", phase.seconds)
    await_nodes(cluster, "n1", "n2", "db1")
    await_members(cluster, "db1", "n1", "n2")
    first.type("hactl node rename db1 n3 --ssh", timeout_s=CHANGE_S)
    cluster.await_well()
    assert probe.result is not None and probe.result.failed == 0
    assert cluster.rack.switch.fenced == []
