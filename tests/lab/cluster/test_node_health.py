"""Health checks in a cluster: a disk that fills up, a link that goes down, a ping target that goes away, a command."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.lab.spec import CLIENT, SERVICE_VIP
from hactl.lab.system import run

from .status_document import group_named, has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# A busy machine keeps this lease; a group leaves a node that is not well after 3 s all the same.
TIMING = {"lease": "3s"}
QUICK = {"interval": "500ms", "timeout": "400ms", "rise": 2, "fall": 2}


def with_checks(cluster: Cluster, *checks: dict[str, Any]) -> dict[str, Any]:
    return {**cluster.base, "health": [{**QUICK, **check} for check in checks]}


def checks_of(cluster: Cluster, node: str, via: str) -> dict[str, dict[str, Any]]:
    """A node's checks, in the status document of another or of itself."""
    document = next(entry for entry in cluster.status(via)["nodes"] if entry["name"] == node)
    return {check["name"]: check for check in document["checks"]}


def passed(cluster: Cluster, node: str) -> set[str]:
    """The checks that pass on a node."""
    return {name for name, row in checks_of(cluster, node, node).items() if row["ok"]}


def use(cluster: Cluster, owner: str, *checks: dict[str, Any]) -> None:
    """Have these checks pass on every node, and the groups on the owner."""
    cluster.configure(with_checks(cluster, *checks))
    names = {check["name"] for check in checks}
    for node in cluster.nodes:
        cluster.until(lambda n=node: passed(cluster, n) == names, f"all checks pass on {node}")  # type: ignore[misc]
    cluster.bring(owner)
    cluster.overlap_planned = True  # of the address, when it leaves a node that is not well


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = Path(tempfile.mkdtemp(prefix="hactl-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)
    path.rmdir()


@pytest.fixture
def marks() -> Iterator[Path]:
    """A directory for files that commands look for."""
    with tempfile.TemporaryDirectory(prefix="hactl-health-") as path:
        yield Path(path)


@contextlib.contextmanager
def another_link(cluster: Cluster, *nodes: str) -> Iterator[None]:
    """eth1 on these nodes, with a carrier until its peer eth1p goes down."""
    for node in nodes:
        ip = ("ip", "-n", cluster.lab.spec.namespace(node))
        run([*ip, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p"])
        for link in ("eth1", "eth1p"):
            run([*ip, "link", "set", link, "up"])
    try:
        yield
    finally:
        for node in nodes:
            run(["ip", "-n", cluster.lab.spec.namespace(node), "link", "del", "eth1"])


def carrier(cluster: Cluster, node: str, state: str) -> None:
    run(["ip", "-n", cluster.lab.spec.namespace(node), "link", "set", "eth1p", state])


@pytest.mark.long
def test_a_link_without_carrier_moves_the_groups_and_they_stay_there(cluster: Cluster) -> None:
    with another_link(cluster, *cluster.nodes):
        use(cluster, "n1", {"name": "link", "link": {"interface": "eth1"}})
        carrier(cluster, "n1", "down")
        taken = cluster.await_running("service", cluster.others("n1"))
        cluster.await_running("vip", cluster.others("n1"))
        cluster.await_event("n1", "node_check_failed", check="link")
        for via in cluster.nodes:
            cluster.until(
                lambda v=via: has_warning(cluster.status(v), "node n1 fails the health check link: eth1: no carrier"),  # type: ignore[misc]
                f"{via} warns",
            )
        shown = cluster.hactl("n2", "node", "show", "n1")
        assert "link" in shown and "failed" in shown and "eth1: no carrier, or down" in shown
        assert "n1" not in group_named(cluster.status("n2"), "service")["candidates"]
        carrier(cluster, "n1", "up")
        cluster.until(lambda: checks_of(cluster, "n1", "n2")["link"]["ok"], "n1 is well again")
        cluster.until(
            lambda: "n1" in group_named(cluster.status("n2"), "service")["candidates"], "n1 may have it again"
        )
        assert cluster.owner("service") == taken  # no failback
        cluster.configure(cluster.base)


def test_where_every_node_fails_nothing_is_stopped_and_a_power_cut_is_survived(
    cluster: Cluster, small_disk: Path
) -> None:
    """The lab's nodes have their disks in common: a full one is full for all."""
    disk = {"name": "disk", "disk": {"path": str(small_disk), "free": "20%"}}
    use(cluster, "n1", disk)
    assert cluster.holders("service") == ["n1"]
    (small_disk / "large").write_bytes(b"x" * 900_000)
    for node in cluster.nodes:
        cluster.until(lambda n=node: not checks_of(cluster, n, "n2")["disk"]["ok"], f"{node} fails")  # type: ignore[misc]
    row = checks_of(cluster, "n1", "n2")["disk"]
    assert "(limit 20%)" in row["text"] and row["value"] < 20
    cluster.await_renewals(40)  # longer than a move would take
    assert cluster.changes(SERVICE_VIP) == [] and cluster.owner("service") == "n1" == cluster.owner("vip")
    assert set(group_named(cluster.status("n2"), "service")["candidates"]) == set(cluster.nodes)
    cluster.lab.kill("n1")
    taken = cluster.await_all_running(["n2", "n3"])
    cluster.lab.start("n1")
    cluster.await_live("n1")
    (small_disk / "large").unlink()
    for node in cluster.nodes:
        cluster.until(lambda n=node: checks_of(cluster, n, "n2")["disk"]["ok"], f"{node} is well")  # type: ignore[misc]
    assert cluster.await_all_running() == taken


@pytest.mark.long
def test_a_command_that_makes_a_node_last_and_ping_targets_that_one_node_does_not_reach(
    cluster: Cluster, marks: Path
) -> None:
    station, client = cluster.node("n1").station, cluster.lab.spec.client
    script = f"ip -o addr show | grep -qF {station.address}/ || exit 0; ! [ -e {marks}/bad ] || (echo hot; false)"
    heat = {"name": "heat", "command": ["/bin/sh", "-c", script], "then": "last", "groups": ["service"]}
    rack = {"name": "rack", "command": ["/bin/echo", "b"], "then": "attribute"}
    ping = {"name": "gateway", "ping": {"targets": [client.address, client.address6]}, "timeout": "500ms", "fall": 3}
    use(cluster, "n1", heat, rack, ping)
    (marks / "bad").touch()
    cluster.await_running("service", cluster.others("n1"))
    assert cluster.owner("vip") == "n1"  # it does not concern that one
    assert group_named(cluster.status("n2"), "service")["candidates"][-1] == "n1"
    rows = {row["name"]: row for row in json.loads(cluster.hactl("n2", "node", "show", "n1", "--json"))["checks"]}
    assert rows["heat"]["text"] == "exit status 1: hot" and not rows["heat"]["ok"]
    assert (rows["rack"]["text"], rows["rack"]["ok"], rows["rack"]["then"]) == ("exit status 0: b", True, "attribute")
    with unanswered(cluster, "n1"):
        cluster.await_event("n1", "node_check_failed", check="gateway")
        cluster.await_running("vip", cluster.others("n1"))
        assert "0 of 2 answer (limit 1)" in checks_of(cluster, "n1", "n1")["gateway"]["text"]
        assert all(checks_of(cluster, name, name)["gateway"]["ok"] for name in cluster.others("n1"))


@contextlib.contextmanager
def unanswered(cluster: Cluster, node: str) -> Iterator[None]:
    """The client answers this node no more."""
    station, ip = cluster.node(node).station, ["ip", "-n", cluster.lab.spec.namespace(CLIENT)]
    ways = ((f"{station.address}/32", []), (f"{station.address6}/128", ["-6"]))
    for way, version in ways:
        run([*ip, *version, "route", "add", "blackhole", way])
    try:
        yield
    finally:
        for way, version in ways:
            run([*ip, *version, "route", "del", "blackhole", way])
