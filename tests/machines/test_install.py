"""Three empty machines become a cluster."""

from __future__ import annotations

import pytest

from tests.machines.cluster import Cluster, note
from tests.machines.machine import Machine
from tests.machines.phases import RUN


@pytest.mark.short
def test_install(installed: Cluster) -> None:
    """The package brings all that is needed, and starts nothing of hactl's."""
    for machine in installed.machines:
        assert machine.look("systemctl", "is-active", "hactl") == "inactive"
        assert machine.look("systemctl", "--failed", "--plain", "--no-legend") == ""
        assert machine.look("hactl", "--version").startswith("hactl ")


def test_setup_by_files_and_begin_again(installed: Cluster) -> None:
    """Without ssh: one command more on each machine."""
    with RUN.phase("hactl setup, join by files, until status is OK on all") as phase:
        installed.set_up_by_files()
        installed.await_well()
    note("setup_by_files_until_ok_seconds", phase.seconds)
    note("commands_typed_by_files", {machine.name: machine.typed.copy() for machine in installed.machines})
    installed.begin_again()
    for machine in installed.machines:
        del machine.typed[1:]  # the installation


@pytest.mark.short
def test_setup(set_up: Cluster) -> None:
    """One etcd with three members."""
    for machine in set_up.machines:
        assert len(members(machine)) == 3


def test_setup_again_changes_nothing(cluster: Cluster) -> None:
    """It is repeated at will."""
    before = [machine.look("sha256sum", "-b", "/etc/hactl/node.toml") for machine in cluster.machines]
    cluster.set_up_by_ssh()
    cluster.await_well()
    assert [machine.look("sha256sum", "-b", "/etc/hactl/node.toml") for machine in cluster.machines] == before


def members(machine: Machine) -> list[str]:
    """The members of etcd, as its own client says there."""
    where = f"--endpoints=https://{machine.address}:2379"
    files = (("cacert", "ca.pem"), ("cert", "admin.pem"), ("key", "admin.key"))
    pki = [f"--{option}=/etc/hactl/pki/{file}" for option, file in files]
    return machine.look("etcdctl", where, *pki, "member", "list").splitlines()
