"""The hardware checklist (docs/hardware.md): each of its commands runs, and shows what the page says."""

from __future__ import annotations

import json
import re

import pytest

from tests.machines import debian, manual
from tests.machines.cluster import WEB_VIP, Cluster

PAGE = "hardware.md"
# What a command prints on a machine that is as it should be.
SHOWS = {
    "arping -c 3 -D -I eth0 ADDRESS": r"Received 0 response",
    "cat /etc/machine-id": r"^[0-9a-f]{32}$",
    "cat /sys/devices/system/clocksource/clocksource0/current_clocksource": r"^[a-z0-9_-]+$",
    "df -h /var/lib/etcd /var/lib/hactl": r"Avail(.*\n.*){2}",
    "hactl config check /etc/hactl/cluster.yaml": r"failover at worst",
    "hactl etcd status": r"FSYNC P99",
    "hactl fence test": r"pdu",
    "hactl status": r"^cluster prod",
    "hactl timeline": r"TOTAL|no takeover is known",
    "ping -c 200 -i 0.2 OTHER": r"rtt min/avg/max",
    "ping -c 3 -M do -s 1472 OTHER": r" 0% packet loss",
    "stat -fc %T /sys/fs/cgroup": r"^cgroup2fs$",
    "timedatectl": r"System clock synchronized: (yes|no)",
}
# Run by a test below, or by another one.
BELOW = {"etcdctl check perf", "hactl etcd status --json", "etcdctl", "hactl fence NODE", "ndisc6 ADDRESS eth0"}
ELSEWHERE = {"hactl cluster rolling-reboot"}
# It would reboot the computer on which the tests run.
NEVER = {"echo b > /proc/sysrq-trigger"}
WORDS = {
    "HactlFenceDeviceFails",
    "System clock synchronized: yes",
    "cgroup2fs",
    "default",
    "fast",
    "fencing: required",
    "kvm-clock",
    "off",
    'self_fence = "reboot"',
    "softdog",
    "status",
    "tsc",
    "wan",
}


@pytest.fixture(scope="module")
def programs(set_up: Cluster) -> None:
    """Those that look for addresses."""
    for machine in set_up.machines:
        machine.run("apt-get", "install", "-y", *debian.LOOKING)


@pytest.mark.short
def test_every_command_of_the_page_is_known() -> None:
    """A command that is added to the page is to be run here."""
    assert manual.words_in_code(PAGE) == SHOWS.keys() | BELOW | ELSEWHERE | NEVER | WORDS


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("command", SHOWS)
def test_command(cluster: Cluster, command: str) -> None:
    first, second, _ = cluster.machines
    typed = command.replace("OTHER", second.address).replace("ADDRESS", "10.77.0.99").replace("-c 200", "-c 5")
    assert re.search(SHOWS[command], first.type(typed).strip(), re.MULTILINE)


@pytest.mark.usefixtures("programs")
def test_an_address_that_is_in_use_is_found(cluster: Cluster) -> None:
    passive = next(machine for machine in cluster.machines if machine != cluster.owner("vip"))
    assert "Received 0" not in passive.type(f"arping -c 3 -D -I eth0 {WEB_VIP}", ok=False)


@pytest.mark.usefixtures("programs")
def test_an_ipv6_address_is_looked_for(cluster: Cluster) -> None:
    """The machines have no IPv6 until here."""
    first, second, _ = cluster.machines
    for machine, address in ((first, "fd77::11"), (second, "fd77::12")):
        machine.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
        machine.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    try:
        assert "No response" in first.type("ndisc6 fd77::99 eth0", ok=False)
        assert "Target link-layer address" in first.type("ndisc6 fd77::12 eth0")
    finally:
        for machine in (first, second):
            machine.run("ip", "-6", "address", "flush", "dev", "eth0")


def test_speed_of_etcd(cluster: Cluster) -> None:
    """etcdctl's own measurement, with the options that hactl shows. Whether these disks pass it says nothing."""
    first = cluster.machines[0]
    shown = json.loads(first.type("hactl etcd status --json"))["etcdctl"]
    done = first.run("bash", "-lc", f"{shown} check perf", timeout_s=180)
    assert "Slowest request" in done.stdout
    cluster.await_well()


def test_fence_for_real(cluster: Cluster) -> None:
    first, *_, last = cluster.machines
    first.type(f"hactl fence {last.name} --yes")
    assert cluster.rack.switch.fenced[:1] == [last.name]
    last.power_on()
    cluster.await_well()
