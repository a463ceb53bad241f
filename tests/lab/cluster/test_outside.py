"""Changes of addresses from outside hactl: put right where that is safe, and reported on every node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from hactl.lab import netns
from hactl.lab.spec import CLIENT, VIP, VIP6, VIP_PORTS
from hactl.lab.system import run

from .whole import Cluster, running

pytestmark = [pytest.mark.root, pytest.mark.lab]

ADDRESSES = {"address": f"{VIP}/24", "address6": f"{VIP6}/64"}


def ip(cluster: Cluster, station: str, *words: str) -> str:
    return run(["ip", "-n", cluster.lab.spec.namespace(station), *words])


def warnings(cluster: Cluster, node: str) -> list[str]:
    return [warning["what"] for warning in cluster.status(node).get("warnings", [])]


@pytest.mark.parametrize("resource", ADDRESSES)
def test_an_address_on_a_node_that_does_not_own_it_is_taken_off_and_said(cluster: Cluster, resource: str) -> None:
    owner = cluster.owner("vip")
    other, epoch = cluster.others(owner)[0], cluster.group("vip").epoch
    cluster.overlap_planned = True  # by the test's own hand
    for count in (1, 2, 3):
        ip(cluster, other, "addr", "add", ADDRESSES[resource], "dev", "eth0")
        cluster.until(
            lambda n=count: len(cluster.events(other, "resource_appeared")) >= n,  # type: ignore[misc]
            f"{other} has found it, time {count}",
        )
        cluster.until(
            lambda: ADDRESSES[resource] not in ip(cluster, other, "-o", "addr", "show", "dev", "eth0"),
            f"{other} has taken it off",
        )
    for name in cluster.nodes:
        cluster.until(
            lambda n=name: any(
                f"vip/{resource} on {other}: something else" in warning for warning in warnings(cluster, n)
            ),  # type: ignore[misc]
            f"{name} says that something puts it on {other}",
        )
    assert cluster.owner("vip") == owner and cluster.group("vip").epoch == epoch
    cluster.await_running("vip", [owner])


@pytest.mark.parametrize("resource", ADDRESSES)
def test_a_station_that_has_the_address_too_is_said_on_every_node_while_it_has(cluster: Cluster, resource: str) -> None:
    owner, address = cluster.owner("vip"), ADDRESSES[resource]
    nodad = ["nodad"] if ":" in address else []
    ip(cluster, CLIENT, "addr", "add", address, "dev", "eth0", *nodad)
    try:
        mac = cluster.lab.spec.client.mac
        for name in cluster.nodes:
            cluster.until(
                lambda n=name: any(f"also at {mac}, which is no node" in warning for warning in warnings(cluster, n)),  # type: ignore[misc]
                f"{name} says who else has it",
            )
        cluster.await_event(owner, "resource_warning", group="vip", resource=resource)
    finally:
        ip(cluster, CLIENT, "addr", "del", address, "dev", "eth0")
    for name in cluster.nodes:
        cluster.until(
            lambda n=name: not any("address conflict" in warning for warning in warnings(cluster, n)),  # type: ignore[misc]
            f"{name} says so no longer",
        )
    cluster.await_event(owner, "resource_warning_over", group="vip", resource=resource)
    cluster.await_running("vip", [owner])


def test_clients_of_a_frozen_owner_that_goes_on_are_called_back(cluster: Cluster) -> None:
    """Without any of the announcements that come in any case: they are an hour apart here."""
    document = cluster.with_groups()
    for resource in document["groups"][0]["resources"]:
        resource["vip"] |= {"announce_interval": "1h"}
    cluster.apply(document)
    cluster.await_whole()
    owner = cluster.owner("vip")
    cluster.settle("service", cluster.others(owner)[0])
    cluster.begin()
    cluster.overlap_planned = True  # its kernel keeps the address while its processes are frozen
    old = next(station for station in cluster.lab.spec.stations if station.name == owner)
    cluster.node(owner).freeze()
    others = cluster.others(owner)
    new = cluster.until(
        lambda: next((other for other in others if running(cluster.store.view(), "vip") == other), None), "a takeover"
    )
    for resource in ADDRESSES:
        cluster.await_event(new, "resource_warning", group="vip", resource=resource)
    cluster.node(owner).thaw()
    for resource in ADDRESSES:  # the burst of the start is over by then, and so is the defence
        cluster.await_event(new, "resource_warning_over", group="vip", resource=resource)
    with believing(cluster):
        for address, target in ((VIP, f"{VIP}:{VIP_PORTS['api-one']}"), (VIP6, f"[{VIP6}]:{VIP_PORTS['api-one']}")):
            ip(cluster, CLIENT, "neigh", "replace", address, "dev", "eth0", "lladdr", old.mac, "nud", "reachable")
            cluster.until(lambda: bool(cluster.lab.ask(target)), f"the client reaches {address}")  # noqa: B023


@contextlib.contextmanager
def believing(cluster: Cluster) -> Iterator[None]:
    """The client does not ask anew for a MAC address that it knows."""
    seconds = {f"{version}/neigh/eth0/delay_first_probe_time": "3600" for version in ("ipv4", "ipv6")}
    namespace = cluster.lab.spec.namespace(CLIENT)
    netns.set_sysctls(namespace, seconds)
    try:
        yield
    finally:
        netns.set_sysctls(namespace, dict.fromkeys(seconds, "5"))
