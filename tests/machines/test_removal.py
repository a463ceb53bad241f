"""The package is taken off the machines again."""

from __future__ import annotations

import pytest

from tests.machines import manual
from tests.machines.cluster import APP, Cluster
from tests.machines.machine import Machine
from tests.machines.phases import RUN

# Where other programs write down what happened.
_RECORDS = (
    "/root",
    "/tmp",
    "/var/cache",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/log",
    "/proc",
    "/sys",
)


@pytest.mark.short
def test_purge_leaves_nothing(cluster: Cluster) -> None:
    """The first machines hand over what runs there; then etcd has no majority left, and the last one runs nothing.

    No process, file, control group or setting of hactl's is left.
    """
    purge = manual.command("uninstall.md", "apt purge").replace("purge", "purge -y")
    last = cluster.owner("app")
    with cluster.rack.probe(APP) as probe, RUN.phase("apt purge on the first"):
        first = cluster.rack.others(last.name)[0]
        first.type(purge)
    assert probe.result is not None
    assert probe.result.failed == 0
    assert leftovers(first) == []
    with RUN.phase("apt purge on the owner"):
        last.type(purge)
    assert leftovers(last) == []
    (second,) = cluster.rack.others(last.name, first.name)
    with RUN.phase("apt purge on the last"):
        second.type(f"HACTL_REMOVE=force {purge}")
    for machine in cluster.machines:
        assert leftovers(machine) == [], machine.name
    assert cluster.rack.switch.fenced == []


def leftovers(machine: Machine) -> list[str]:
    """What is still there of hactl's."""
    prune = " -o ".join(f"-path {place}" for place in _RECORDS)
    looks = {
        "file": f"find / -xdev \\( {prune} \\) -prune -o -name '*hactl*' -print",
        "in /run": "find /run -name '*hactl*'",
        "control group": "find /sys/fs/cgroup -name '*hactl*'",
        "process": "ps -eo args | grep '[h]actl'",
        "user or group": "cat /etc/passwd /etc/group | grep hactl",
        "table": "nft list tables | grep hactl",
        "address": "ip -o address | grep -E '10.77.0.3[01]/'",
        "sysctl": "cat /proc/sys/net/ipv4/ip_nonlocal_bind | grep 1",
        "unit": "systemctl list-units --all --plain --no-legend '*hactl*'",
        "application": "systemctl is-active app | grep '^active'",
        "etcd": "systemctl is-active etcd | grep '^active'",
    }
    lines = [(name, line) for name, look in looks.items() for line in machine.look("sh", "-c", look).splitlines()]
    return [f"{name}: {line}" for name, line in lines]
