"""Packages are upgraded under load: hactl, from the commit before, and what it stands on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import debian, manual
from tests.machines.cluster import APP, WEB, Cluster, note
from tests.machines.phases import RUN
from tests.support.package import package_before


def test_upgrade_under_load(installed: Cluster, tmp_path: Path) -> None:
    """Machine by machine: no request fails, and no group moves. (The machines are those that were purged.)"""
    cluster = installed
    with RUN.phase("the commit before: install, set up"):
        cluster.install(cluster.machines, package_before(tmp_path, int(debian.release())))
        cluster.set_up_by_ssh()
        cluster.applications(cluster.machines)
        cluster.configure()
        cluster.await_well()
    with undisturbed(cluster, "upgrade_failed_requests"):
        for machine in cluster.machines:
            with RUN.phase(f"{machine.name}# apt install ./hactl.deb"):
                cluster.install([machine])
                cluster.await_well()


@pytest.mark.parametrize("what", ["etcd", "HAProxy", "systemd"])
def test_upgrade_of_what_hactl_stands_on(cluster: Cluster, what: str) -> None:
    """There is no newer one in Debian: apt does the same with the version that is there."""
    with undisturbed(cluster, f"{what}_upgrade_failed_requests"):
        for machine in cluster.machines:
            for command in manual.block("upgrade.md", what):
                machine.type(command.replace("--only-upgrade", "-y --reinstall"))
            cluster.await_well()


@contextlib.contextmanager
def undisturbed(cluster: Cluster, figure: str) -> Iterator[None]:
    """No client's request fails meanwhile, and every group is where it was afterwards. `figure`: the name of the
    clients' figures."""
    owners = {group: cluster.owner(group) for group in ("vip", "app")}
    with cluster.rack.probe(WEB) as web, cluster.rack.probe(APP) as app:
        yield
    assert web.result is not None and app.result is not None
    note(figure, {"web": web.result.summary(), "app": app.result.summary()})
    assert (web.result.failed, app.result.failed) == (0, 0)
    assert {group: cluster.owner(group) for group in owners} == owners
