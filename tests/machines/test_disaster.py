"""etcd's data are lost (docs/disaster-recovery.md)."""

from __future__ import annotations

from hactl.lab.system import wait_until
from tests.machines import manual
from tests.machines.cluster import Cluster, note
from tests.machines.machine import BOOT_S, Machine
from tests.machines.phases import RUN

PAGE = "disaster-recovery.md"


def test_all_data_are_lost(cluster: Cluster) -> None:
    """The disks with etcd's data are empty after a power cut: all is as it was at the snapshot."""
    first = cluster.machines[0]
    first.type("hactl etcd snapshot")
    cluster.rack.cut()
    for machine in cluster.machines:
        machine.erase("/var/lib/etcd/hactl")
    with RUN.phase("boot without data"):
        for machine in cluster.machines:
            machine.power_on()
        for machine in cluster.machines:
            wait_until(machine.answers, deadline_s=BOOT_S, goal=f"{machine.name} answers")
    with RUN.phase("hactl etcd restore, hactl recover, until all is well") as phase:
        restore(cluster)
    note("restore_until_ok_seconds", phase.seconds)


def test_nothing_is_left(cluster: Cluster) -> None:
    """Not even a snapshot: the configuration alone. (n3 came later: by `hactl node replace`.)"""
    first = cluster.machines[0]
    begin = manual.block(PAGE, "Nothing is left")
    for machine in cluster.machines:
        for command in begin[:-1]:
            machine.type(command)
    for machine in cluster.machines:
        machine.type(begin[-1])
    await_etcd(first)
    assert "etcd has lost it: `hactl recover CLUSTER_YAML`" in first.type("hactl setup", ok=False)
    first.type(f"{manual.command(PAGE, 'hactl recover /etc')} --yes")
    cluster.await_well()


def await_etcd(machine: Machine) -> None:
    """Wait until `hactl etcd status` there knows of no error."""
    wait_until(
        lambda: machine.run("hactl", "etcd", "status").returncode == 0,
        deadline_s=BOOT_S,
        goal="etcd is well",
        every_s=0.5,
    )


def restore(cluster: Cluster) -> None:
    """The way of a restore, with the newest snapshot of the first machine."""
    first, *others = cluster.machines
    command = manual.command(PAGE, "hactl etcd restore /root/prod")
    file = command.split()[-1]
    first.type(f"cp $(ls -t /var/lib/hactl/snapshots/*.db | head -n 1) {file}")
    for other in others:
        first.type(f"scp {file} root@{other.address}:{file}")
    for machine in cluster.machines:
        machine.type(f"{command} --yes")
    await_etcd(first)
    recover = manual.block(PAGE, "The way of a restore")[1]
    first.type(f"{recover} --yes")
    cluster.await_well()
