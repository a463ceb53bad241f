"""A real Redis on two nodes, one of them promoted by deploy/examples/redis-primary: `make test-ocf` installs it. The
nodes are directories of this machine, and the address that the replicas follow is a port that is moved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fencing.guard import stop
from hactl.resources import factory
from hactl.resources.base import NodeContext, Observation, Resource, ResourceError
from tests.lab.resources.ocf.real import cgroups
from tests.support.ports import LOOPBACK, free_port
from tests.support.promises import promised
from tests.support.relay import Relay, relay
from tests.support.specs import resource_spec
from tests.support.waiting import until

pytestmark = pytest.mark.root

SCRIPT = Path(__file__).parents[5] / "deploy/examples/redis-primary"
MOVES = 10


@dataclass
class Node:
    """A Redis that follows the address, and its promoted role."""

    name: str
    port: int
    instance: Resource
    role: Resource
    pid: int = 0

    def ask(self, *words: str) -> str:
        """What Redis answers."""
        argv = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout.strip()

    def look(self) -> Observation:
        """At the role."""
        return asyncio.run(self.role.probe())

    @property
    def in_step(self) -> bool:
        """It is a replica that has everything, or goes on from there."""
        return "master_link_status:up" in self.ask("INFO", "replication")

    def keys(self) -> set[str]:
        return set(self.ask("KEYS", "*").split())

    def start(self) -> None:
        """The instance, which is a replica; return when it answers."""
        asyncio.run(self.instance.start({}))
        until(lambda: self.look().health == "stopped", "it answers, and is not promoted")
        self.pid = int(self.ask("INFO", "server").partition("process_id:")[2].split()[0])


def node(name: str, place: Path, context: NodeContext, address: Relay) -> Node:
    directory, port = place / name, free_port()
    directory.mkdir()
    config = directory / "redis.conf"
    config.write_text(
        f"bind {LOOPBACK}\nport {port}\ndir {directory}\nappendonly yes\nreplicaof {LOOPBACK} {address.port}\n"
        "repl-diskless-sync-delay 0\n"
    )
    script = ["env", f"REDIS_CLI=redis-cli -p {port}", "sh", str(SCRIPT)]
    commands = {
        action: [*script, action, LOOPBACK, str(address.port)] for action in ("promote", "demote", "role", "score")
    }
    options: dict[str, Any] = {"command": ["redis-server", str(config)]}
    instance = {"name": "redis", "kind": "exec", "options": options}
    role = resource_spec("primary", "promote", {"of": "db/redis", "instance": instance, **commands})
    here = NodeContext(name, str(place / name / "state"), f"{context.cgroup_root}/{name}", context.daemon_cgroup)
    return Node(
        name,
        port,
        factory.make(resource_spec("redis", "exec", options), here, "db"),
        factory.make(role, here, "db-primary"),
    )


@pytest.fixture
def address() -> Iterator[Relay]:
    with relay() as made:
        yield made


@pytest.fixture
def nodes(place: Path, address: Relay) -> Iterator[tuple[Node, Node]]:
    with cgroups(place / "run") as context:
        made = (node("n1", place, context, address), node("n2", place, context, address))
        try:
            yield made
        finally:
            for one in made:
                with contextlib.suppress(Exception):
                    asyncio.run(one.role.kill())


def promote(here: Node, address: Relay, others: tuple[Node, ...]) -> None:
    """As the group starts: the address, then the role."""
    address.to(here.port)
    asyncio.run(here.role.start({}))
    for other in others:
        until(lambda other=other: other.in_step, f"{other.name} follows")


@dataclass
class Client:
    """Writes numbers to whatever is behind the address, until it is stopped; remembers what was acknowledged."""

    port: int
    wait: bool = False
    acknowledged: set[str] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=5) as server:
                answers = server.makefile("rb")
                while not self.stopped.is_set():
                    number += 1
                    server.sendall(f"SET key:{number} x\r\n".encode())
                    if answers.readline() != b"+OK\r\n":
                        break
                    if self.wait:
                        server.sendall(b"WAIT 1 1000\r\n")
                        if answers.readline() != b":1\r\n":
                            break
                    self.acknowledged.add(f"key:{number}")
            self.stopped.wait(0.001)


@contextlib.contextmanager
def writing(address: Relay, *, wait: bool = False) -> Iterator[Client]:
    client = Client(address.port, wait)
    thread = threading.Thread(target=client.run)
    thread.start()
    try:
        yield client
    finally:
        client.stopped.set()
        thread.join(20)


def test_its_life(nodes: tuple[Node, Node], address: Relay) -> None:
    first, second = nodes
    assert first.look().detail.startswith("its instance does not run") and asyncio.run(first.role.ready()) == ""
    for one in nodes:
        one.start()
    assert {first.look().score, second.look().score} <= {0, 1}, "a first start: one is as good as the other"
    promote(first, address, (second,))
    first.ask("SET", "key", "x")
    until(lambda: second.look().score == first.look().score, "the replica has everything")
    assert (first.look().health, second.look().health) == ("running", "stopped")
    assert asyncio.run(first.role.monitor()) == Observation("running")
    asyncio.run(first.role.stop())
    assert first.look().health == "stopped" and asyncio.run(first.instance.probe()).health == "running"
    assert second.look().score == first.look().score, "it had everything before it was demoted"
    asyncio.run(first.role.stop())
    promote(second, address, (first,))
    assert second.keys() == first.keys() == {"key"}


def test_moves_lose_nothing_that_was_acknowledged(nodes: tuple[Node, Node], address: Relay) -> None:
    """Without WAIT: a demotion sees to it that the replica has everything."""
    for one in nodes:
        one.start()
    owner, other = nodes
    promote(owner, address, (other,))
    with writing(address) as client:
        for _ in range(MOVES):
            written = len(client.acknowledged)
            until(lambda written=written: len(client.acknowledged) > written + 200, "it writes")
            asyncio.run(owner.role.stop())
            owner, other = other, owner
            promote(owner, address, (other,))
    print(f"{len(client.acknowledged)} writes in {MOVES} moves")
    lost = client.acknowledged - owner.keys()
    promised(not lost, f"{len(lost)} of {len(client.acknowledged)} lost: {sorted(lost)[:5]}")


def test_a_demotion_stops_writers_and_waits_for_the_replica(nodes: tuple[Node, Node], address: Relay) -> None:
    first, second = nodes
    for one in nodes:
        one.start()
    promote(first, address, (second,))
    with writing(address) as client:
        until(lambda: client.acknowledged, "it writes")
        os.kill(second.pid, signal.SIGSTOP)
        before = len(client.acknowledged)
        until(lambda: len(client.acknowledged) > before + 100, "it writes what the replica does not get")
        demoting = threading.Thread(target=asyncio.run, args=(first.role.stop(),))
        demoting.start()
        until(lambda: "blocked_clients:1" in first.ask("INFO", "clients"), "the writer is stopped")
        for _ in range(50):
            assert first.ask("ROLE").startswith("master"), "it is demoted before its replica has everything"
        os.kill(second.pid, signal.SIGCONT)
        demoting.join(20)
        promote(second, address, (first,))
    lost = client.acknowledged - second.keys()
    promised(not lost, f"{len(lost)} of {len(client.acknowledged)} lost: {sorted(lost)[:5]}")


@pytest.mark.parametrize("way", ["killed", "killed by the guard", "frozen"])
def test_a_primary_that_ends_loses_nothing_that_a_replica_has_confirmed(
    nodes: tuple[Node, Node], address: Relay, way: str
) -> None:
    first, second = nodes
    for one in nodes:
        one.start()
    promote(first, address, (second,))
    with writing(address, wait=True) as client:
        until(lambda: len(client.acknowledged) > 200, "it writes")
        if way == "frozen":
            os.kill(first.pid, signal.SIGSTOP)
            seen = asyncio.run(first.role.monitor())
            assert seen.health == "failed" and "role did not end in time" in seen.detail
        if way == "killed by the guard":
            (step,) = first.role.guard_steps()
            until(lambda: stop.attempt(step) == "", "the guard has stopped it")
        else:
            asyncio.run(first.role.kill())
        assert asyncio.run(first.instance.probe()).health == "stopped"
        score = second.look().score
        assert score is not None and score > 0
        promote(second, address, ())
        first.start()
        until(lambda: first.in_step, "started anew it is a replica")
        written = len(client.acknowledged)
        until(lambda: len(client.acknowledged) > written + 50, "it writes again")
    lost = client.acknowledged - second.keys()
    promised(not lost, f"{len(lost)} of {len(client.acknowledged)} lost: {sorted(lost)[:5]}")
    assert first.look().health == "stopped"


def test_a_demotion_without_any_replica_ends(nodes: tuple[Node, Node], address: Relay) -> None:
    first, _ = nodes
    first.start()
    promote(first, address, ())
    asyncio.run(first.role.stop())
    assert first.look().health == "stopped"


def test_a_frozen_one_is_not_demoted_but_killed(nodes: tuple[Node, Node], address: Relay) -> None:
    first, _ = nodes
    first.start()
    promote(first, address, ())
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises((ResourceError, TimeoutError)):
        asyncio.run(asyncio.wait_for(first.role.stop(), 10))
    asyncio.run(first.role.kill())
    assert asyncio.run(first.instance.probe()).health == "stopped"
