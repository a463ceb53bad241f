"""The cluster's certificates on running machines."""

from __future__ import annotations

from tests.machines import manual
from tests.machines.cluster import APP, WEB, Cluster


def test_renewed_under_load(cluster: Cluster) -> None:
    """No request fails; then every member of etcd shows its new certificate."""
    first = cluster.machines[0]
    before = serials(cluster)
    with cluster.rack.probe(WEB) as web, cluster.rack.probe(APP) as app:
        for command in manual.block("certificates.md", "Renew them"):
            first.type(command)
        cluster.await_well()
    assert web.result is not None and app.result is not None
    assert (web.result.failed, app.result.failed) == (0, 0)
    assert len(before | serials(cluster)) == 2 * len(cluster.machines)


def serials(cluster: Cluster) -> set[str]:
    """Of the certificates that etcd's members show."""
    show = "openssl s_client -connect {}:2379 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    return {machine.look("sh", "-c", show.format(machine.address)) for machine in cluster.machines}
