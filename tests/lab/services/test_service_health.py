"""The balancers' view of servers, and the outcomes of probes: in status, history and metrics of a real cluster."""

from __future__ import annotations

import copy
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from hactl.lab import netns
from hactl.lab.cgroup import Cgroup
from hactl.lab.system import LabError
from tests.lab.cluster.status_document import has_warning
from tests.lab.cluster.whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# Where the lab's backends listen, and the metrics of a node.
PORT, METRICS = 8001, 9664


@pytest.fixture(autouse=True)
def well(cluster: Cluster) -> Iterator[None]:
    """Every server is up, to every balancer, before each test and after it; afterwards all backends run and answer."""
    await_state(cluster, "api-one", dict.fromkeys(cluster.nodes, "up"))
    cluster.begin()
    yield
    for node in cluster.nodes.values():
        backend(cluster, node.name).freeze(False)
        node.call("nft", "add table inet health; delete table inet health")
        if not backend(cluster, node.name).pids():
            node.stop_backend("api-two")
            node.start_backends()
    await_state(cluster, "api-one", dict.fromkeys(cluster.nodes, "up"))
    cluster.until(lambda: all(told_well(cluster, name) for name in cluster.nodes), "all has been told")


def told_well(cluster: Cluster, node: str) -> bool:
    """Whether the last that the node has noted of each server, and of the services, is good."""
    last: dict[str, str] = {}
    for event in cluster.events(node):
        if event["event"].startswith(("server_", "service_")):
            last[event.get("server", "") if event["event"].startswith("server_") else "service"] = event["event"]
    return set(last.values()) <= {"server_up", "service_recovered"}


def backend(cluster: Cluster, node: str) -> Cgroup:
    """The processes of `api-one` on a node."""
    return cluster.node(node).group.child("backend/api-one")


def service(cluster: Cluster, name: str, via: str = "n1") -> dict[str, Any]:
    """A service, as status has it."""
    return next(candidate for candidate in cluster.status(via)["services"] if candidate["name"] == name)


def await_state(cluster: Cluster, name: str, states: dict[str, str]) -> dict[str, Any]:
    """Wait until the servers are in these states; the service."""

    def look() -> dict[str, Any] | None:
        current = service(cluster, name)
        well = {server["name"]: server["state"] for server in current["servers"]} == states
        return current if well and all(len(server["balancers"]) == 3 for server in current["servers"]) else None

    return cluster.until(look, f"{name} is {states}")


def await_warning(cluster: Cluster, level: str, words: str) -> None:
    cluster.until(lambda: has_warning(cluster.status("n1"), words, level=level), f"{level}: {words}")


def await_metric(cluster: Cluster, node: str, line: str) -> None:
    def scrape() -> str:
        with urllib.request.urlopen(f"http://{cluster.node(node).address}:{METRICS}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    cluster.until(lambda: line in netns.inside(cluster.node(node).namespace, scrape).splitlines(), line)


def test_a_server_that_dies_is_told_once_by_each_balancer(cluster: Cluster) -> None:
    cluster.node("n2").stop_backend("api-one")
    current = await_state(cluster, "api-one", {"n1": "up", "n2": "down", "n3": "up"})
    assert {balancer["check"] for balancer in current["servers"][1]["balancers"].values()} == {"L4CON"}
    await_warning(cluster, "warning", "server n2 of api-one is down: L4CON")
    for name in cluster.nodes:
        cluster.await_event(name, "server_down", server="n2", services="api-one", check="L4CON")
        await_metric(cluster, name, 'hactl_server_up{server="n2",service="api-one"} 0.0')
        await_metric(cluster, name, 'hactl_service_servers{service="api-one",state="down"} 1.0')
    cluster.node("n2").stop_backend("api-two")
    cluster.node("n2").start_backends()
    await_state(cluster, "api-one", dict.fromkeys(cluster.nodes, "up"))
    for name in cluster.nodes:
        cluster.await_event(name, "server_up", server="n2")
        assert len([event for event in cluster.events(name, "server_down") if event["services"] == "api-one"]) == 1


def test_the_last_server_and_none(cluster: Cluster) -> None:
    for name in ("n1", "n3"):
        cluster.node(name).stop_backend("api-one")
    await_warning(cluster, "warning", "service api-one has one server left, n2")
    cluster.await_event("n1", "service_on_last_server", services="api-one", server="n2")
    cluster.node("n2").stop_backend("api-one")
    await_warning(cluster, "error", "service api-one has no server left")
    cluster.await_event("n1", "service_without_server", services="api-one")
    text = cluster.hactl("n1", "status")
    assert "0 of 3 up" in text and "n1, n2, n3: all down (L4CON Connection refused)" in text
    for node in cluster.nodes.values():
        node.stop_backend("api-two")
        node.start_backends()
    cluster.await_event("n1", "service_recovered")


def test_balancers_that_disagree(cluster: Cluster) -> None:
    """One cannot reach a server that the others do."""
    far = f"ip daddr {cluster.node('n3').address} tcp dport {PORT}"
    chain = f"chain out {{ type filter hook output priority 0; {far} drop; }};"
    cluster.node("n1").call("nft", f"table inet health {{ {chain} }}")
    current = await_state(cluster, "api-one", {"n1": "up", "n2": "up", "n3": "disagree"})
    words = {name: balancer["word"] for name, balancer in current["servers"][2]["balancers"].items()}
    assert words == {"n1": "down", "n2": "up", "n3": "up"}
    text = "balancers disagree on server n3 of api-one: down says n1, up say n2 and n3"
    await_warning(cluster, "warning", text)
    assert "n3: down says n1, up say n2 and n3" in cluster.hactl("n2", "status")
    cluster.await_event("n1", "server_down", server="n3")
    assert not cluster.events("n2", "server_down")


def test_a_haproxy_that_cannot_be_configured_is_told_by_all(cluster: Cluster) -> None:
    document = copy.deepcopy(cluster.base)
    document["services"][0]["extra"] = ["no-such-keyword at all"]
    with pytest.raises(LabError, match="no-such-keyword"):
        cluster.apply(document)
    cluster.apply(document, options=("--skip-haproxy",))
    for name in cluster.nodes:
        await_warning(cluster, "error", f"HAProxy on {name} does not run as configured")


def test_without_a_daemon_the_same_is_read_from_etcd(cluster: Cluster) -> None:
    cluster.node("n2").stop_backend("api-one")
    await_state(cluster, "api-one", {"n1": "up", "n2": "down", "n3": "up"})
    cluster.node("n3").group.child("daemon").freeze(True)
    text = cluster.hactl("n3", "status")
    cluster.node("n3").group.child("daemon").freeze(False)
    assert "n2: down (L4CON Connection refused)" in text and "read from etcd" in text


def test_a_service_that_hangs_fails_its_probe(cluster: Cluster) -> None:
    """It accepts, and its check does not see more; a request through the VIP is not answered."""
    cluster.bring("n1")
    document = copy.deepcopy(cluster.base)
    changed = document["services"][0]
    changed["check"] = {"kind": "tcp"}
    changed["timeouts"] = {"server": "30s"}
    changed["probe"] = {"kind": "http", "path": "/", "interval": "500ms", "timeout": "1s"}
    cluster.configure(document)

    def outcomes() -> dict[str, str]:
        return {name: probe["outcome"] for name, probe in service(cluster, "api-one")["probe"]["nodes"].items()}

    cluster.until(lambda: outcomes() == {"n2": "completed", "n3": "completed"}, "both that lack the VIP have probed")
    assert service(cluster, "api-one")["probe"]["target"] == "10.77.0.30:8080"
    for name in cluster.nodes:
        backend(cluster, name).freeze(True)
    cluster.until(lambda: outcomes() == {"n2": "failed", "n3": "failed"}, "both have failed")
    await_warning(
        cluster, "error", "service api-one: the probe through 10.77.0.30:8080 fails from n2 and n3: no answer"
    )
    for name in ("n2", "n3"):
        cluster.await_event(name, "probe_failed", service="api-one")
        await_metric(cluster, name, 'hactl_probe_success{service="api-one"} 0.0')
    assert "failed from n2, n3" in cluster.hactl("n1", "status")
    for name in cluster.nodes:
        backend(cluster, name).freeze(False)
    cluster.until(lambda: outcomes() == {"n2": "completed", "n3": "completed"}, "both are answered again")
    cluster.await_event("n2", "probe_completed", service="api-one")
    cluster.configure(cluster.base)
    assert service(cluster, "api-one")["probe"] is None
