"""A group that requires a service leaves a node whose HAProxy finds no server of it up, and stays where no node is
better. With a real HAProxy, whose checks one node's firewall refuses."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hactl.lab.spec import BACKEND_PORTS, VIP
from hactl.lab.system import run

from .status_document import group_named, has_warning
from .whole import Cluster, running

pytestmark = [pytest.mark.root, pytest.mark.lab]

# A busy machine keeps this lease; a group leaves a node that is not well after 3 s all the same.
TIMING = {"lease": "3s"}
SERVICE = "api-one"
CHECK = f"service {SERVICE}"


def requiring(cluster: Cluster, must: bool = True) -> dict[str, Any]:
    """The lab's configuration, in which the VIP requires the service."""
    document = copy.deepcopy(cluster.base)
    group = next(group for group in document["groups"] if group["name"] == "vip")
    group["requires"] = [{"service": SERVICE, "must": must}]
    return document


def check(cluster: Cluster, node: str, via: str) -> dict[str, Any]:
    """The node's check of the service, in the status document of another node or of itself; {} until it is known."""
    rows = next(entry["checks"] for entry in cluster.status(via)["nodes"] if entry["name"] == node)
    return dict(next((row for row in rows if row["name"] == CHECK), {}))


def use(cluster: Cluster, owner: str) -> None:
    """Have the VIP require the service, which is served everywhere, and run on the owner."""
    cluster.configure(requiring(cluster))
    for node in cluster.nodes:
        cluster.until(lambda n=node: check(cluster, n, n).get("ok"), f"{node} serves it")  # type: ignore[misc]
    cluster.bring(owner)
    cluster.overlap_planned = True  # of the address, when it leaves


@contextlib.contextmanager
def without_servers(cluster: Cluster, *nodes: str) -> Iterator[None]:
    """No server of the service is reached from these nodes."""

    def nft(node: str, rules: str) -> None:
        run(["nsenter", f"--net=/run/netns/{cluster.lab.spec.namespace(node)}", "nft", "-f", "-"], stdin=rules)

    chain = "type filter hook output priority 0;"
    rule = f"tcp dport {BACKEND_PORTS[SERVICE]} reject with tcp reset"
    for node in nodes:
        nft(node, f"table inet hactl_test {{\nchain out {{\n{chain}\n{rule}\n}}\n}}\n")
    try:
        yield
    finally:
        for node in nodes:
            if cluster.node(node).powered:  # else its namespace is another one, or gone
                with contextlib.suppress(Exception):
                    nft(node, "delete table inet hactl_test\n")


def test_the_group_goes_where_the_service_is_served_and_stays_there(cluster: Cluster) -> None:
    use(cluster, "n1")
    with without_servers(cluster, "n1"):
        began = time.monotonic()
        cluster.await_event("n1", "node_check_failed", check=CHECK)
        found = time.monotonic() - began
        taken = cluster.await_running("vip", cluster.others("n1"))
        print(f"found out after {found:.1f} s, moved after {time.monotonic() - began:.1f} s")
        assert cluster.owner("service") == "n1"  # it does not require it
        text = f"{CHECK}, required by group vip, is not served by HAProxy on n1: HAProxy finds none of its servers up"
        cluster.until(lambda: has_warning(cluster.status("n2"), text), "n2 warns")
        assert "n1" not in group_named(cluster.status("n2"), "vip")["candidates"]
        said = " ".join(cluster.hactl("n2", "explain", "vip").split())
        assert f"n1: may not {CHECK}: HAProxy finds none of its servers up." in said
        rows = {row["name"]: row for row in json.loads(cluster.hactl("n2", "node", "show", "n1", "--json"))["checks"]}
        assert (rows[CHECK]["ok"], rows[CHECK]["then"], rows[CHECK]["groups"]) == (False, "unfit", ["vip"])
    cluster.until(lambda: check(cluster, "n1", "n2").get("ok"), "n1 serves it again")
    cluster.until(lambda: "n1" in group_named(cluster.status("n2"), "vip")["candidates"], "n1 may have it again")
    assert cluster.owner("vip") == taken  # no failback


def test_where_no_node_serves_it_the_group_stays_and_is_taken_over_when_its_owner_dies(cluster: Cluster) -> None:
    use(cluster, "n1")
    with without_servers(cluster, *cluster.nodes):
        for node in cluster.nodes:
            cluster.until(lambda n=node: check(cluster, n, "n2").get("ok") is False, f"{node} does not serve it")  # type: ignore[misc]
        cluster.await_renewals(40)  # longer than a move would take
        assert cluster.changes(VIP) == [] and cluster.owner("vip") == "n1"
        assert set(group_named(cluster.status("n2"), "vip")["candidates"]) == set(cluster.nodes)
        assert has_warning(cluster.status("n2"), "no other node is better", field="do")
        cluster.lab.kill("n1")
        taken = cluster.until(
            lambda: next((n for n in ("n2", "n3") if running(cluster.store.view(), "vip") == n), None), "taken over"
        )
    cluster.lab.start("n1")
    cluster.await_live("n1")
    for node in cluster.nodes:
        cluster.until(lambda n=node: check(cluster, n, n).get("ok"), f"{node} serves it")  # type: ignore[misc]
    cluster.await_running("vip", [taken, *cluster.others(taken)])
