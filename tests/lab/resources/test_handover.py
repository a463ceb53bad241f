"""A VIP moves between two nodes that both have it for a moment: TCP connections to it go on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import socket
import threading
import uuid
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import structlog

from hactl.linux import connections
from hactl.linux.netlink import link as find_link
from hactl.resources.base import NodeContext
from hactl.resources.vip import Vip
from hactl.resources.vip.nft import Rules
from tests.support.namespaces import DEADLINE_S, inside, ip, multicast_works
from tests.support.specs import resource_spec
from tests.support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

V4, V6 = "10.77.0.30/24", "fd77::30/64"
PORT = 7000
FREEBIND = {4: (socket.IPPROTO_IP, 15), 6: (socket.IPPROTO_IPV6, 78)}
BESIDE = {"HACTL_BESIDE": "old"}


class Station:
    """One on the wire; `call` runs a coroutine in its namespace, on an event loop of its own."""

    def __init__(self, namespace: str, number: int) -> None:
        self.namespace, self.number = namespace, number
        self.loop: asyncio.AbstractEventLoop
        ready = threading.Event()

        def live() -> None:
            self.loop = asyncio.new_event_loop()
            self.loop.call_soon(ready.set)
            self.loop.run_forever()

        self._thread = threading.Thread(target=inside, args=(namespace, live), daemon=True)
        self._thread.start()
        assert ready.wait(DEADLINE_S)

    def begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.begin(work).result(DEADLINE_S)

    def has(self, address: str) -> bool:
        return f" {address} " in ip("-n", self.namespace, "-o", "addr", "show", "dev", "eth0")

    def rules(self) -> str:
        return inside(self.namespace, lambda: os.popen("nft list ruleset").read())

    def mac(self) -> str:
        return ip("-n", self.namespace, "-o", "link", "show", "eth0").split("link/ether ")[1][:17]

    def serve(self, address: str) -> socket.socket:
        """Plays HAProxy, on every node: it listens on the VIP, and answers with its node's number."""
        version = ipaddress.ip_address(address).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        listener: socket.socket = inside(self.namespace, lambda: socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(*FREEBIND[version], 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen()

        def answer(peer: socket.socket) -> None:
            with peer, contextlib.suppress(OSError):
                while peer.recv(100):
                    peer.sendall(b"%d" % self.number)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener

    def end(self) -> None:
        async def cancel() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self.call(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_S)
        self.loop.close()


class Segment:
    """A switch with a client and two nodes on it."""

    def __init__(self, client: Station, old: Station, new: Station) -> None:
        self.client, self.old, self.new = client, old, new

    def connect(self, address: str) -> socket.socket:
        return inside(self.client.namespace, lambda: socket.create_connection((address, PORT), timeout=DEADLINE_S))

    def turn(self, station: Station, address: str) -> None:
        """From now on the client sends packets for the VIP there."""
        place = ("lladdr", station.mac(), "dev", "eth0")
        ip("-n", self.client.namespace, "neigh", "replace", address, *place)

    def turns_to(self, station: Station, address: str) -> bool:
        """Whether the client has heard that the VIP is there."""
        return station.mac() in ip("-n", self.client.namespace, "neigh", "show", address)


def ask(connection: socket.socket) -> int:
    connection.sendall(b"?")
    return int(connection.recv(100) or b"0")


@pytest.fixture
def segment() -> Iterator[Segment]:
    tag = uuid.uuid4().hex[:6]
    with contextlib.ExitStack() as stack:
        switch = f"hactl-ho-{tag}-switch"
        ip("netns", "add", switch)
        stack.callback(ip, "netns", "del", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "br0", "up")
        stations = []
        for number, name in enumerate(("client", "old", "new"), 1):
            namespace = f"hactl-ho-{tag}-{name}"
            ip("netns", "add", namespace)
            stack.callback(ip, "netns", "del", namespace)
            ip("-n", switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            ip("-n", switch, "link", "set", name, "master", "br0", "up")
            ip("-n", namespace, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", namespace, "addr", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
            ip("-n", namespace, "link", "set", "eth0", "up")
            stations.append(Station(namespace, number))
            stack.callback(stations[-1].end)
        for station in stations:
            until(functools.partial(multicast_works, station.namespace))
        for station in stations[1:]:
            for address in (V4, V6):
                stack.callback(station.serve(address.partition("/")[0]).close)
        yield Segment(*stations)


def vip(address: str, **options: Any) -> Vip:
    options = {"announce_burst": 3, "announce_burst_interval_ms": 20, **options}
    return Vip(resource_spec("vip", "vip", {"address": address, "interface": "eth0", **options}), CONTEXT)


CONTEXT = NodeContext("n", "/nonexistent", None)


async def stop_announcing(vip: Vip) -> None:
    vip.stop_announcing()


def move(segment: Segment, old: Vip, new: Vip) -> Any:
    """Both have it, and the old node is about to stop it."""
    segment.old.call(stop_announcing(old))
    segment.new.call(new.start(BESIDE))
    return segment.old.begin(old.stop())


@pytest.mark.parametrize("address", [V4, V6])
def test_a_connection_goes_on_until_it_ends(segment: Segment, address: str) -> None:
    plain = address.partition("/")[0]
    old, new = vip(address, drain_ms=4000), vip(address, drain_ms=4000)
    segment.old.call(old.start({}))
    with segment.connect(plain) as connection:
        assert ask(connection) == segment.old.number
        stopping = move(segment, old, new)
        # Whichever announcement it has heard: now its segments go to the new node.
        table = ip(
            "-n", segment.client.namespace, "neigh", "replace", plain, "lladdr", segment.new.mac(), "dev", "eth0"
        )
        assert table == ""
        for _ in range(20):
            assert ask(connection) == segment.old.number
        with segment.connect(plain) as later:
            assert ask(later) == segment.new.number
            assert ask(connection) == segment.old.number
            assert segment.old.has(address)
            assert not stopping.done()
    stopping.result(DEADLINE_S)
    assert not segment.old.has(address)
    assert segment.old.rules() == ""
    segment.new.call(new.stop())
    assert segment.new.rules() == ""


@pytest.mark.parametrize("address", [V4, V6])
def test_new_connections_are_answered_by_the_new_node_alone(segment: Segment, address: str) -> None:
    plain = address.partition("/")[0]
    old, new = vip(address), vip(address)
    segment.old.call(old.start({}))
    with segment.connect(plain):
        stopping = move(segment, old, new)
        until(lambda: "hactl_vip" in segment.old.rules())
        for _ in range(5):
            ip("-n", segment.client.namespace, "neigh", "flush", "dev", "eth0")
            with segment.connect(plain) as later:
                assert ask(later) == segment.new.number
            assert segment.turns_to(segment.new, plain)
        assert not stopping.done()


def test_connections_that_last_too_long_are_reset(segment: Segment) -> None:
    old, new = vip(V4, drain_ms=300), vip(V4, drain_ms=300)
    segment.old.call(old.start({}))
    with segment.connect("10.77.0.30") as connection:
        assert ask(connection) == segment.old.number
        move(segment, old, new).result(DEADLINE_S)
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    assert not segment.old.has(V4)


def test_a_kill_does_not_wait(segment: Segment) -> None:
    old, new = vip(V4, drain_ms=60_000), vip(V4, drain_ms=60_000)
    segment.old.call(old.start({}))
    with segment.connect("10.77.0.30") as connection:
        assert ask(connection) == segment.old.number
        stopping = move(segment, old, new)
        until(lambda: "drop" in segment.old.rules())
        stopping.cancel()
        segment.old.call(old.kill())
    assert not segment.old.has(V4)
    assert segment.old.rules() == ""


def test_a_stop_that_is_no_move_does_not_wait(segment: Segment) -> None:
    alone = vip(V4, drain_ms=60_000)
    segment.old.call(alone.start({}))
    with segment.connect("10.77.0.30") as connection:
        assert ask(connection) == segment.old.number
        segment.old.call(alone.stop())
    assert not segment.old.has(V4)


def test_the_drain_leaves_time_for_the_stop(segment: Segment) -> None:
    spec = vip(V4).spec
    hasty = resource_spec("vip", "vip", {**spec.options.plain(), "drain_ms": 60_000}, stop_timeout_ms=1200.0)
    old, new = Vip(hasty, CONTEXT), vip(V4)
    segment.old.call(old.start({}))
    with segment.connect("10.77.0.30"):
        segment.old.call(stop_announcing(old))
        segment.new.call(new.start(BESIDE))

        async def stop() -> None:
            async with asyncio.timeout(1.2):
                await old.stop()

        segment.old.call(stop())
    assert not segment.old.has(V4)


def test_without_the_packet_filter_it_moves_all_the_same(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = vip(V4), vip(V4)
    with structlog.testing.capture_logs() as logs:
        monkeypatch.setenv("PATH", "/nonexistent")
        for resource, station, env in ((old, segment.old, {}), (new, segment.new, BESIDE)):
            station.call(resource.start(env))
        segment.old.call(stop_announcing(old))
        segment.old.call(old.stop())
        segment.new.call(new.stop())
        segment.new.call(new.start(BESIDE))
        monkeypatch.undo()
    said = [log["problem"] for log in logs if log["event"] == "vip.connections_not_handed_over"]
    assert len(said) == 2  # each node once
    assert all("nft" in problem for problem in said)
    assert not segment.old.has(V4)
    assert segment.new.has(V4)


def test_rules_that_a_killed_daemon_left_lapse_and_go_at_the_next_start(segment: Segment) -> None:
    async def leave_behind() -> None:
        link = find_link("eth0")
        assert link is not None
        rules = Rules(ipaddress.ip_address("10.77.0.30"))
        await rules.forward(link, bytes.fromhex(segment.old.mac().replace(":", "")), 0.0)

    segment.new.call(leave_behind())
    assert '"eth0" timeout' in segment.new.rules()
    until(lambda: '"eth0" timeout' not in segment.new.rules())
    assert "hactl_vip" in segment.new.rules()
    segment.new.call(vip(V4).start({}))
    until(lambda: segment.new.rules() == "")


def test_connections_are_found_and_ended(segment: Segment) -> None:
    address = ipaddress.ip_address("10.77.0.30")
    segment.old.call(vip(V4).start({}))

    def on_old(function: Any) -> Any:
        return inside(segment.old.namespace, lambda: function(address))

    assert not on_old(connections.any_to)
    with segment.connect("10.77.0.30") as first, segment.connect("10.77.0.30") as second:
        assert (ask(first), ask(second)) == (segment.old.number,) * 2
        assert on_old(connections.any_to)
        assert not inside(segment.old.namespace, lambda: connections.any_to(ipaddress.ip_address("10.77.0.31")))
        assert on_old(connections.abort_to) == 2
        for connection in (first, second):
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
    assert not on_old(connections.any_to)
