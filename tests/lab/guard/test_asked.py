"""A guard that is asked by its peers: queries that it answers, queries that it does not, and a deadline that does not
wait for them."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fencing.guard import liveness
from fencing.guard.liveness import LivenessQuery, LivenessReply
from fencing.guard.responder import Listen
from hactl.config.cluster_key import create_key, read_key
from hactl.config.node import NodeConfig
from hactl.daemon.guard_link import open_link
from hactl.daemon.parts.guard_asker import GuardAsker
from hactl.model.events import GuardReplied
from tests.lab.guard.guard_lab import Lab, wait_for
from tests.support.guard_client import GuardClient, GuardRefusedError
from tests.support.ports import free_udp_port

pytestmark = pytest.mark.root

KEY = b"0123456789abcdef0123456789abcdef"
LONG = {"lease_ms": 60_000}


class Peer:
    """Asks a guard from a socket of its own."""

    def __init__(self, setup: Listen) -> None:
        self.setup = setup
        family = socket.AF_INET6 if ":" in setup.address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect((setup.address, setup.port))
        self.numbers = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def question(self, **changes: str) -> LivenessQuery:
        self.numbers += 1
        asked = LivenessQuery(self.setup.cluster, self.setup.node, "s1", f"nonce{self.numbers}")
        return asked._replace(**changes)

    def send(self, packet: bytes) -> None:
        self.socket.send(packet)

    def received(self, within_s: float) -> LivenessReply | None:
        """The next answer; None when there is none in this time."""
        self.socket.settimeout(within_s)
        try:
            return liveness.decode_reply(KEY, self.socket.recv(2048))
        except TimeoutError:
            return None

    def ask(self, **changes: str) -> LivenessReply:
        asked = self.question(**changes)
        self.send(liveness.encode_query(KEY, asked))
        told = self.received(10.0)
        assert told is not None and told[:4] == asked
        return told


def listening(lab: Lab, address: str = "127.0.0.1", **plan: Any) -> tuple[subprocess.Popen[str], Listen]:
    """A guard with a daemon that has told it where to listen."""
    lab.spawn_guard()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    setup = Listen("demo", "n1", address, free_udp_port(family, address), KEY)
    daemon, _ = lab.daemon(listen=[*setup[:4], KEY.hex()], **plan)
    return daemon, setup


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_answers_with_its_daemon_and_without(lab: Lab, address: str) -> None:
    _, step = lab.resource("r")
    daemon, setup = listening(lab, address, register={"r": [step]}, **LONG)
    with Peer(setup) as peer:
        told = peer.ask()
        assert (told.held_session_id, told.holds, told.daemon) == ("s1", True, True)
        assert 0 < told.left_ms <= 60_000
        assert not peer.ask(session_id="s0").holds
        daemon.send_signal(signal.SIGSTOP)
        assert peer.ask()[5:7] == (True, True)
        daemon.kill()
        wait_for(lambda: lab.events("daemon_gone"))
        assert peer.ask()[5:7] == (True, False)
        # The next daemon says the same again, and changes nothing.
        lab.daemon(listen=[*setup[:4], KEY.hex()])
        assert peer.ask()[5:7] == (True, True)
        assert len(lab.events("listening")) == 1
        assert KEY.hex() not in (lab.directory / "log").read_text()


def test_once_everything_is_stopped_it_holds_nothing(lab: Lab) -> None:
    _, step = lab.resource("r")
    _, setup = listening(lab, register={"r": [step]}, renew=False)
    lab.record("stopped")
    with Peer(setup) as peer:
        assert peer.ask()[4:7] == ("s1", False, False)


def test_a_frozen_guard_says_nothing_and_answers_when_it_goes_on(lab: Lab) -> None:
    _, setup = listening(lab, **LONG)
    freeze = lab.cgroup / "cgroup.freeze"
    events = lab.cgroup / "cgroup.events"
    with Peer(setup) as peer:
        peer.ask()
        freeze.write_text("1")
        wait_for(lambda: "frozen 1" in events.read_text())
        peer.send(liveness.encode_query(KEY, peer.question()))
        assert peer.received(0.3) is None
        freeze.write_text("0")
        assert peer.received(10.0) is not None


def test_queries_for_others_are_dropped_and_counted(lab: Lab) -> None:
    _, setup = listening(lab, **LONG)
    with Peer(setup) as peer:
        repeated = liveness.encode_query(KEY, peer.question())
        peer.send(repeated)
        assert peer.received(10.0) is not None
        for packet in (
            repeated,
            liveness.encode_query(KEY, peer.question(cluster="other")),
            liveness.encode_query(KEY, peer.question(node="n2")),
            liveness.encode_query(b"?" * 32, peer.question()),
            liveness.encode_reply(KEY, LivenessReply(*peer.question(), "s1", True, True, 5)),
            b"x" * (liveness.MAX_DATAGRAM + 1),
            b"",
        ):
            peer.send(packet)
        # Earlier packets were looked at before it, and had no answer.
        peer.ask()
    with GuardClient(lab.spec.socket, 5.0) as client:
        packet = client.status()
    assert packet.dropped == {"replay": 1, "cluster": 1, "node": 1, "mac": 1, "form": 1, "size": 2}
    # The first is logged at once, the following ones later and together.
    assert [event["in_all"] for event in lab.events("questions_dropped")] == [{"replay": 1}]


def test_a_flood_of_questions_delays_no_deadline(lab: Lab) -> None:
    began = time.monotonic()
    work, step = lab.resource("r")
    daemon, setup = listening(lab, register={"r": [step]})
    stop = threading.Event()
    with Peer(setup) as peer:
        good = liveness.encode_query(KEY, peer.question())

        def flood() -> None:
            while not stop.is_set():
                for packet in (good, b"x" * 600) * 50:
                    peer.send(packet)
                stop.wait(0.001)

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            daemon.send_signal(signal.SIGSTOP)
            record = lab.record("stopped")
        finally:
            stop.set()
            flooding.join()
    assert work.wait(10) == -signal.SIGKILL
    # In time: before it would have fenced itself.
    assert record["took_ms"] < lab.stop_budget_ms - lab.self_fence_lead_ms
    assert not lab.trace.exists()
    # It looked at no more than its share: 8 for each 20 ms.
    with GuardClient(lab.spec.socket, 5.0) as client:
        served = sum(client.status().dropped.values())
    assert served <= 8 * 50 * (time.monotonic() - began + 1)


def test_where_it_cannot_listen_it_says_so(lab: Lab) -> None:
    lab.spawn_guard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, GuardClient(lab.spec.socket, 5.0) as client:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(GuardRefusedError, match="adopt first"):
            client.listen(Listen("demo", "n1", "127.0.0.1", port, KEY))
        client.adopt()
        with pytest.raises(GuardRefusedError, match=f"cannot listen on 127.0.0.1 port {port}/udp: .*in use"):
            client.listen(Listen("demo", "n1", "127.0.0.1", port, KEY))
        for address in ("localhost", "300.1.1.1"):
            with pytest.raises(GuardRefusedError, match=f"cannot listen on {address}"):
                client.listen(Listen("demo", "n1", address, port, KEY))
        with pytest.raises(GuardRefusedError, match="key: hexadecimal of 32 bytes"):
            client.listen(Listen("demo", "n1", "127.0.0.1", port, b"short"))
        # An address that is not there yet will be.
        client.listen(Listen("demo", "n1", "192.0.2.77", port, KEY))
        # No key: it listens no more.
        client.listen(Listen("demo", "n1", "127.0.0.1", port, b""))
        assert lab.status().phase == "holding"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


def config_of(lab: Lab, port: int) -> NodeConfig:
    key = lab.directory / "cluster.key"
    return NodeConfig(cluster="demo", node="n1", cluster_key=str(key), guard_port=port)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_daemon_asks_a_guard(lab: Lab, address: str) -> None:
    lab.spawn_guard()
    create_key(lab.directory / "cluster.key")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    config = config_of(lab, free_udp_port(family, address))

    async def scenario() -> None:
        link = await open_link(lab.spec, 5.0)
        await link.adopt()
        told: asyncio.Queue[GuardReplied] = asyncio.Queue()
        asker = GuardAsker(config, told.put_nowait)
        await asker.answer_at(link, address)
        assert asker.problem == ""
        asker.ask("n1", address, "s1")
        assert await told.get() == GuardReplied("n1", "s1", False)
        # Not that of another node; one that is not there; a name: no answer, and no harm.
        asker.ask("n2", address, "s1")
        asker.ask("n1", "192.0.2.1", "s1")
        asker.ask("n1", "localhost", "s1")
        asker.ask("n1", address, "s2")
        assert await told.get() == GuardReplied("n1", "s2", False)
        assert told.empty()
        asker.close()
        await link.close()

    run(scenario)


def test_an_answer_counts_once_and_only_if_asked_for(lab: Lab) -> None:
    """A guard of ours answers twice, for another session, and questions that were not asked."""
    create_key(lab.directory / "cluster.key")
    key = read_key(lab.directory / "cluster.key")
    assert key is not None

    async def scenario() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as fake:
            fake.bind(("127.0.0.1", 0))
            told: asyncio.Queue[GuardReplied] = asyncio.Queue()
            asker = GuardAsker(config_of(lab, fake.getsockname()[1]), told.put_nowait)
            asker.ask("n1", "127.0.0.1", "s1")
            packet, peer = await asyncio.get_running_loop().sock_recvfrom(fake, 2048)
            asked = liveness.decode_query(key, packet)
            for query in (
                asked._replace(session_id="s2"),
                asked._replace(node="n2"),
                asked._replace(nonce="other"),
                asked,
                asked,
            ):
                fake.sendto(liveness.encode_reply(key, LivenessReply(*query, "s1", True, False, 5)), peer)
            fake.sendto(liveness.encode_reply(b"?" * 32, LivenessReply(*asked, "s1", True, False, 5)), peer)
            assert await told.get() == GuardReplied("n1", "s1", True)
            asker.ask("n1", "127.0.0.1", "s9")
            packet, peer = await asyncio.get_running_loop().sock_recvfrom(fake, 2048)
            asked = liveness.decode_query(key, packet)
            fake.sendto(liveness.encode_reply(key, LivenessReply(*asked, "s9", True, False, 5)), peer)
            assert await told.get() == GuardReplied("n1", "s9", True)
            assert told.empty()
            asker.close()

    run(scenario)


def test_without_a_key_nobody_is_asked_and_no_guard_listens(lab: Lab) -> None:
    lab.spawn_guard()
    port = free_udp_port()

    async def scenario() -> None:
        link = await open_link(lab.spec, 5.0)
        await link.adopt()
        told: list[GuardReplied] = []
        asker = GuardAsker(config_of(lab, port), told.append)
        assert asker.problem == f"there is no {lab.directory}/cluster.key"
        asker.ask("n1", "127.0.0.1", "s1")
        await asker.answer_at(link, "127.0.0.1")
        assert asker.problem
        asker.close()
        await link.close()

    run(scenario)
    assert not lab.events("listening")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", port))
