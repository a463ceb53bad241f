"""Machines that are shut down and booted in order."""

from __future__ import annotations

import pytest

from hactl.lab.system import wait_until
from tests.machines import manual
from tests.machines.cluster import APP, WEB, Cluster, note
from tests.machines.machine import BOOT_S
from tests.machines.phases import RUN

RUNS = 5


@pytest.mark.short
def test_reboot_of_the_machine_with_the_application(cluster: Cluster) -> None:
    """It hands over before it goes down: no machine is fenced."""
    note("reboot_gap_ms", reboot_of_the_owner(cluster))


def test_reboots_one_after_another(cluster: Cluster) -> None:
    """The longest gap of a client is short each time."""
    gaps = [reboot_of_the_owner(cluster) for _ in range(RUNS)]
    note("reboot_gaps_ms", gaps)


def reboot_of_the_owner(cluster: Cluster) -> int:
    """The application's longest gap, ms."""
    owner = cluster.owner("app")
    with cluster.rack.probe(APP) as probe:
        with RUN.phase(f"{owner.name}# systemctl reboot"):
            owner.reboot()
        cluster.await_well()
    assert probe.result is not None
    assert cluster.rack.switch.fenced == []
    assert cluster.owner("app") != owner
    return round(probe.result.outage_ms)


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_poweroff_and_on_again(cluster: Cluster, name: str) -> None:
    """A machine that is switched off for a while is missed, not fenced."""
    machine = cluster.rack[name]
    machine.poweroff()
    wait_until(lambda: cluster.running("app"), deadline_s=BOOT_S, goal="the application runs")
    machine.power_on()
    cluster.await_well()
    assert cluster.rack.switch.fenced == []


def test_boot_of_all_with_etcd_down(cluster: Cluster) -> None:
    """hactl waits for etcd, and goes on when it is there."""
    for machine in cluster.machines:
        machine.type("systemctl disable etcd")
    cluster.rack.cut()
    for machine in cluster.machines:
        machine.power_on()
    for machine in cluster.machines:
        wait_until(machine.answers, deadline_s=BOOT_S, goal=f"{machine.name} answers")
    for machine in cluster.machines:
        machine.type("systemctl enable --now --no-block etcd")
    cluster.await_well()


def test_boot_without_network(cluster: Cluster) -> None:
    """The cable is put back after two minutes, when the boot waits for it no longer."""
    machine = cluster.rack.others(cluster.owner("app").name)[0]
    machine.cut()
    machine.unplug()
    machine.power_on()
    with RUN.phase("boot without network"):
        wait_until(
            lambda: machine.look("systemctl", "is-failed", "systemd-networkd-wait-online") == "failed",
            deadline_s=BOOT_S + 120,
            goal=f"{machine.name} waits for the network no longer",
            every_s=1.0,
        )
    machine.plug()
    with RUN.phase("until well"):
        cluster.await_well()
    assert cluster.rack.switch.fenced == []


def test_daemon_reexec_loses_no_request(cluster: Cluster) -> None:
    with cluster.rack.probe(WEB) as web, cluster.rack.probe(APP) as app:
        for machine in cluster.machines:
            machine.type("systemctl daemon-reexec")
        cluster.await_well()
    assert web.result is not None and app.result is not None
    assert (web.result.failed, app.result.failed) == (0, 0)


def test_rolling_reboot_loses_no_request(cluster: Cluster) -> None:
    """All machines, one after another, the one where it was typed last; then it goes on there."""
    first = cluster.machines[0]
    lives = [machine.life for machine in cluster.machines]
    begin, resume = manual.block("operations.md", "Reboots and upgrades")[1:]
    with cluster.rack.probe(WEB) as web:
        with RUN.phase("until the first machine reboots"):
            first.run("bash", "-lc", begin, timeout_s=600)
            wait_until(lambda: first.life > lives[0], deadline_s=BOOT_S, goal=f"{first.name} reboots")
        first.await_up()
        first.type(resume)
        cluster.await_well()
    assert web.result is not None
    note("rolling_reboot", web.result.summary())
    assert [machine.life for machine in cluster.machines] == [life + 1 for life in lives]
    assert web.result.failed == 0
    assert cluster.rack.switch.fenced == []
